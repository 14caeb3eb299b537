"""Whether a reply may be sent, and as what: checked before anything is published."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.common import Attachment, Channel, TemplateUse
from schemas.envelope import rfc3339
from services.chassis.problems import Problem, conflict, invalid
from services.chassis.templates import Template, UnfitTemplate, choose
from services.conversation.domain.consent import Line, refusing
from services.conversation.domain.model import Consent, Route, Thread
from services.conversation.domain.replies import Words
from services.conversation.domain.window import Window, window


@dataclass(frozen=True, slots=True)
class TemplateAsked:
    """Which template a reply is to be."""

    name: str
    language: str | None = None
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reply:
    """What to send: `text`, or a template."""

    text: str = ""
    channel: Channel | None = None
    template: TemplateAsked | None = None
    attachments: tuple[Attachment, ...] = ()
    subject: str | None = None
    """Of a mail; without one that of the mail it answers, or its first words."""


def words_of(
    reply: Reply, thread: Thread, channel: Channel, route: Route, templates: Sequence[Template], now: datetime
) -> Words:
    """Return what is sent on `route`.

    Raises Problem 409 `opted-out` or `outside-window`, 422 for a template that the account has not.
    """
    line = Line(route.provider, route.account, channel, route.address)
    template = _template(reply.template, templates)
    marketing = template is not None and template.category == "marketing"
    if (consent := refusing(thread, line, marketing=marketing)) is not None:
        raise _opted_out(line, consent)
    if template is not None and reply.template is not None:
        parameters = reply.template.parameters
        use = TemplateUse(name=template.name, language=template.language, parameters=parameters)
        return Words(_filled(template, parameters), template=use)
    free = window(thread, line, now)
    if free is Window.SHUT:
        raise _outside_window(line, line.heard_at(thread), templates)
    return Words(reply.text, reply.attachments, human_agent=free is Window.PEOPLE)


def _template(asked: TemplateAsked | None, templates: Sequence[Template]) -> Template | None:
    if asked is None:
        return None
    try:
        return choose(templates, asked.name, asked.language)
    except UnfitTemplate as error:
        raise invalid(error.field, str(error)) from None


def _filled(template: Template, parameters: Sequence[str]) -> str:
    try:
        return template.fill(parameters)
    except UnfitTemplate as error:
        raise invalid(error.field, str(error)) from None


def _opted_out(line: Line, consent: Consent) -> Problem:
    what = "messages" if line.scope == "all" else "marketing messages"
    who = "they said so" if consent.source == "customer" else "the provider says so"
    detail = (
        f"{line.address.value} has opted out of {what} from {line.provider}/{line.account} "
        f"since {rfc3339(consent.at)} ({who}); nothing was sent"
    )
    return conflict(detail, kind="opted-out")


def _outside_window(line: Line, last: datetime | None, templates: Sequence[Template]) -> Problem:
    since = f"since {rfc3339(last)}" if last else "yet"
    detail = (
        f"{line.channel} takes free text for 24 hours after the Customer's last message, "
        f"and {line.address.value} has not written to {line.provider}/{line.account} {since}; "
        "send one of `templates`, or use another channel"
    )
    offers = [template.offer() for template in templates]
    return conflict(detail, kind="outside-window", more={"templates": offers})
