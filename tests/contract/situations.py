"""What happened before an example reaches a consumer: other examples, and what people did.

A step is the name of an example, or the name of a command of the service's bench. Without an entry an
example is the first thing the service ever hears.
"""

SMS = "messages.identified/message.identified-sms"
GRANTED = "routing.decisions/routing.granted"
PROFILE, SIGNED_ON = "routing.commands/agent.profile", "routing.commands/agent.availability"
REQUEST = "routing.commands/routing.request"
CALL, CHOICE = (
    "messages.identified/message.identified-call",
    "messages.identified/message.identified-call-choice",
)
MESSAGE_LEFT, CALL_END = f"{CALL}-message", f"{CALL}-end"
SENT = "messages.outbound/message.send"
MERGED = "customers.events/customer.merged"

BEFORE: dict[tuple[str, str], tuple[str, ...]] = {
    ("identity", "messages.inbound/message.received-sms-hostile"): ("messages.inbound/message.received-sms",),
    ("identity", "messages.inbound/message.received-whatsapp"): ("messages.inbound/message.received-sms",),
    ("identity", "messages.inbound/message.received-email-automatic"): (
        "messages.inbound/message.received-email",
    ),
    ("conversation", "messages.identified/message.identified-whatsapp"): (SMS,),
    ("conversation", "messages.identified/message.identified-whatsapp-reaction"): (SMS, GRANTED),
    ("conversation", "messages.identified/message.identified-whatsapp-echo"): (SMS,),
    ("conversation", "messages.identified/message.identified-email"): (SMS, GRANTED),
    ("conversation", "messages.identified/message.identified-sms-late"): (SMS,),
    ("conversation", CHOICE): (CALL,),
    ("conversation", MESSAGE_LEFT): (CALL, CHOICE),
    ("conversation", CALL_END): (CALL, CHOICE, MESSAGE_LEFT),
    ("conversation", f"{CALL}-transcript"): (CALL, CHOICE, MESSAGE_LEFT, CALL_END),
    ("conversation", "messages.identified/message.identified-sms-stop"): (SMS,),
    ("conversation", MERGED): (SMS,),
    ("conversation", "customers.events/customer.split"): (SMS, MERGED),
    ("conversation", "routing.decisions/routing.granted"): (SMS,),
    ("conversation", "routing.decisions/routing.granted-take"): (SMS, GRANTED, "take"),
    ("conversation", "routing.decisions/routing.refused"): (SMS, GRANTED, "take"),
    ("conversation", "routing.decisions/routing.overflowed"): (SMS,),
    ("conversation", "routing.decisions/routing.unassigned"): (SMS, GRANTED),
    ("conversation", "routing.decisions/routing.offered"): (SMS,),
    ("conversation", "routing.decisions/routing.offer_ended"): (SMS,),
    ("conversation", "routing.decisions/routing.released"): (SMS, GRANTED, "transfer to another pool"),
    ("conversation", "messages.status/message.status-delivered"): (SMS, GRANTED, "reply"),
    ("conversation", "messages.status/message.status-failed"): (SMS, GRANTED, "reply"),
    ("conversation", "messages.status/message.status-refused"): (SMS, GRANTED, "reply"),
    ("router", "routing.commands/agent.availability"): (PROFILE,),
    ("router", "routing.commands/agent.heartbeat"): (PROFILE, SIGNED_ON),
    ("router", "routing.commands/agent.next"): (REQUEST, PROFILE),
    ("router", "routing.commands/routing.request"): (PROFILE, SIGNED_ON),
    ("router", "routing.commands/routing.request-preferred"): (PROFILE, SIGNED_ON),
    ("router", "routing.commands/routing.request-task"): (PROFILE, SIGNED_ON),
    ("router", "routing.commands/routing.assign"): (PROFILE, SIGNED_ON, REQUEST),
    ("router", "routing.commands/routing.widen"): (PROFILE, SIGNED_ON, REQUEST),
    ("router", "routing.commands/routing.release"): (PROFILE, SIGNED_ON, REQUEST),
    ("notifier", "messages.delivery/delivery.reported-read"): (SENT,),
}
