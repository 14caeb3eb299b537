"""What conversation's routes are called in the audit trail; those without a row by their own names."""

from services.chassis.audit import Action, Actions

_CONVERSATION, _CUSTOMER = "/v1/conversations/{conversation_id}", "/v1/customers/{customer_id}"
ACTIONS: Actions = {
    ("GET", _CONVERSATION): Action("conversation.viewed"),
    ("GET", f"{_CUSTOMER}/timeline"): Action("timeline.viewed"),
    ("GET", "/v1/attachments/{attachment_id}"): Action("attachment.viewed", ("attachment_id",)),
    ("POST", f"{_CUSTOMER}/messages"): Action("message"),
    ("POST", f"{_CONVERSATION}/contacts/{{contact_id}}/end"): Action("end_contact", ("contact_id",)),
    ("POST", f"{_CONVERSATION}/typing"): None,
    ("POST", f"{_CONVERSATION}/tickets"): Action("ticket"),
    ("GET", "/v1/tickets/{number}"): Action("ticket.viewed", ("number",)),
    ("PATCH", "/v1/tickets/{number}"): Action("ticket.changed", ("number",)),
    ("POST", f"{_CUSTOMER}/tasks"): Action("task"),
    ("GET", "/v1/tasks/{task_id}"): Action("task.viewed", ("task_id",)),
    ("PATCH", "/v1/tasks/{task_id}"): Action("task.changed", ("task_id",)),
}
