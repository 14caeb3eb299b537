"""Every provider that the simulator stands in for, one row each."""

from collections.abc import Callable
from datetime import timedelta

from deploy.local.simulator import (
    line,
    mailgun,
    messenger,
    mime,
    postmark,
    sendgrid,
    ses,
    telegram,
    twilio,
    whatsapp,
)
from deploy.local.simulator.standin import StandIn, Writes, Writing
from deploy.local.webhooks import Mail, Webhook, WhatsAppSender, email, sms
from deploy.local.webhooks import whatsapp as whatsapp_webhook
from schemas.common import Channel
from services.chassis.accounts import Account


def _sms(account: Account, public_url: str, writing: Writing) -> Webhook:
    sid = f"{'MM' if writing.pictures else 'SM'}{writing.unique}"
    return sms(account, public_url, writing.sender, writing.text, sid, writing.pictures)


def _whatsapp(account: Account, _public_url: str, writing: Writing) -> Webhook:
    content = {"type": "text", "text": {"body": writing.text}}
    sender = WhatsAppSender(writing.sender, writing.name)
    return whatsapp_webhook(account, sender, content, f"wamid.{writing.unique}", writing.at)


def _mail(account: Account, _public_url: str, writing: Writing) -> Webhook:
    mail = Mail(
        sender=f"{writing.name} <{writing.sender}>" if writing.name else writing.sender,
        subject=writing.subject or " ".join(writing.text.split())[:60],
        text=writing.text,
        message_id=f"<{writing.unique}@{writing.sender.rpartition('@')[2]}>",
        in_reply_to=writing.answers,
        references=writing.answers,
        more={"Auto-Submitted": "auto-replied"} if writing.automatic else None,
    )
    return email(account, mail, writing.at)


def _by(hands_over: Callable[[Account, bytes, Writing], Webhook]) -> Writes:
    """Return how a provider that hands over whole mails tells of one."""
    return lambda account, url, writing: hands_over(account, _mail(account, url, writing).body, writing)


_NUMBER = "+15551230001"
_MAILBOX = "ann@mail.example.org"
_SECOND, _MILLISECOND = timedelta(seconds=1), timedelta(milliseconds=1)
STAND_INS = (
    StandIn(twilio.PROVIDER, Channel.SMS, _NUMBER, _sms, twilio.router),
    StandIn(whatsapp.PROVIDER, Channel.WHATSAPP, _NUMBER, _whatsapp, whatsapp.router, _SECOND),
    StandIn(
        messenger.MESSENGER,
        Channel.MESSENGER,
        "7100200300400500",
        messenger.writes,
        messenger.router_of(messenger.MESSENGER),
        _MILLISECOND,
    ),
    StandIn(
        messenger.INSTAGRAM,
        Channel.INSTAGRAM,
        "9100200300400500",
        messenger.writes,
        messenger.router_of(messenger.INSTAGRAM),
        _MILLISECOND,
    ),
    StandIn(
        mime.PROVIDER,
        Channel.EMAIL,
        _MAILBOX,
        _mail,
        lambda accounts, behaviours, sent, _: mime.router(accounts, behaviours, sent),
    ),
    StandIn(sendgrid.PROVIDER, Channel.EMAIL, _MAILBOX, _by(sendgrid.hands_over), sendgrid.router),
    StandIn(mailgun.PROVIDER, Channel.EMAIL, _MAILBOX, _by(mailgun.hands_over), mailgun.router),
    StandIn(postmark.PROVIDER, Channel.EMAIL, _MAILBOX, _by(postmark.hands_over), postmark.router),
    StandIn(ses.PROVIDER, Channel.EMAIL, _MAILBOX, _by(ses.hands_over), ses.router),
    StandIn(telegram.PROVIDER, Channel.TELEGRAM, "6200000001", telegram.writes, telegram.router, _SECOND),
    StandIn(line.PROVIDER, Channel.LINE, f"U{'a' * 32}", line.writes, line.router, _MILLISECOND),
)
"""The first of a channel is the one that is meant when only the channel is named.

Rows of the same `sender` are reached by the same person.
"""


def stand_in(name: str) -> StandIn:
    """Return the provider's, or the first of the channel; raises LookupError, which names what there is."""
    for row in STAND_INS:
        if name in (row.provider, row.channel):
            return row
    known = dict.fromkeys(each for row in STAND_INS for each in (row.channel.value, row.provider))
    message = f"nothing stands in for {name!r}; there are: {', '.join(known)}"
    raise LookupError(message)
