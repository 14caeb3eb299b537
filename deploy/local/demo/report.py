"""Shows the day's outcome: by provider, and of every webhook and reply where that is asked for."""

from collections import Counter
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.local.demo.day import Breaks, Forges, Reads, Reports, Types, Writes
from deploy.local.demo.fates import Became, Delivery, Fate, Outcome
from deploy.local.demo.played import Posted
from deploy.local.simulator.behaviour import Mode

_STYLES = {
    Became.MESSAGE: "green",
    Became.DUPLICATE: "cyan",
    Became.REFUSED: "yellow",
    Became.QUARANTINED: "magenta",
}
_LONGEST = 36


_DONE = {
    Became.DUPLICATE: "delivered twice, shown once",
    Became.REFUSED: "forged, refused",
    Became.QUARANTINED: "unreadable, kept aside",
}
_MET = {
    Mode.REJECT: "refused by the provider",
    Mode.RATE_LIMITED: "too many at a time",
    Mode.SLOW: "a slow provider",
    Mode.LOSE_ANSWER: "the answer was lost",
    Mode.FAIL: "the provider's own fault",
    Mode.UNDELIVERED: "could not be delivered",
}
_PROBLEMS = {"opted-out": "a reply after STOP", "outside-window": "a reply after 24 hours"}


def show(found: Outcome, out: Console, *, details: bool = False) -> None:
    """Print a row for each provider, and the sums; with `details` one for each webhook and reply too.

    What is not as it should be is always shown.
    """
    fates = [fate for fate in found.fates if details or not fate.as_it_should]
    deliveries = [each for each in found.deliveries if details or not each.as_it_should]
    if fates:
        out.print(_webhooks(fates))
    if deliveries:
        out.print(_replies(deliveries))
    out.print(_providers(found))
    sums = Counter(fate.became for fate in found.fates)
    out.print(", ".join(f"{count} {became.value}" for became, count in sums.most_common()))
    style = "bold green" if found.good else "bold red"
    out.print(
        "Everything is where it belongs." if found.good else "Something is not where it belongs.", style=style
    )


def _providers(found: Outcome) -> Table:
    table = Table("provider", "in", "out", "what went wrong, and how it ended", title="The day")
    for provider in dict.fromkeys(fate.posted.provider for fate in found.fates):
        fates = [fate for fate in found.fates if fate.posted.provider == provider]
        deliveries = [each for each in found.deliveries if each.replied.provider == provider]
        messages = sum(fate.became is Became.MESSAGE for fate in fates)
        out = Counter(each.status for each in deliveries if each.status)
        went = "\n".join([*_of_webhooks(fates), *_of_replies(deliveries)])
        counts = ", ".join(f"{count} {status}" for status, count in sorted(out.items()))
        table.add_row(provider, str(messages), counts, went)
    return table


def _of_webhooks(fates: list[Fate]) -> list[str]:
    """Return in words what went wrong on the way in."""
    ended = Counter(_DONE[fate.became] for fate in fates if fate.became in _DONE)
    late = [
        fate.posted.event.hours_late
        for fate in fates
        if isinstance(fate.posted.event, Writes) and fate.posted.event.hours_late and fate.as_it_should
    ]
    wrong = Counter(fate.became.value for fate in fates if not fate.as_it_should)
    return [
        *(f"{count} {words}" for words, count in ended.items()),
        *(f"{hours} hours late, shown all the same" for hours in late),
        *(f"{count} {words}" for words, count in wrong.items()),
    ]


def _of_replies(deliveries: list[Delivery]) -> list[str]:
    """Return in words what went wrong on the way out."""
    words = []
    for each in deliveries:
        event = each.replied.event
        if event.refused:
            offers = f", offered: {', '.join(each.replied.offers)}" if each.replied.offers else ""
            ended = "not sent" if each.replied.problem else each.status or "LOST"
            words.append(f"{_PROBLEMS.get(event.refused, event.refused)}: {ended}{offers}")
        elif event.meets is not Mode.OK:
            code = (each.message or {}).get("error_code")
            ended = f"{each.status} ({code})" if code else each.status or "LOST"
            words.append(f"{_MET.get(event.meets, event.meets.value)}: {ended}")
    return words


def _webhooks(fates: list[Fate]) -> Table:
    table = Table("time", "provider", "from", "what", "answer", "became", "timeline", "conversation", "agent")
    table.title = "What became of the webhooks"
    for fate in fates:
        table.add_row(*_row(fate))
    return table


def _replies(deliveries: list[Delivery]) -> Table:
    table = Table("time", "to", "provider", "text", "agent", "delivery", title="What became of the replies")
    for each in deliveries:
        event, message = each.replied.event, each.message or {}
        style = "green" if each.as_it_should else "bold red"
        delivery = Text(each.status or each.replied.problem or "LOST", style=style)
        cells = (
            f"{event.at:%H:%M}",
            event.to,
            each.replied.provider,
            _short(message.get("text", event.text)),
        )
        table.add_row(*cells, each.replied.agent, delivery)
    return table


def _row(fate: Fate) -> tuple[str | Text, ...]:
    posted, message = fate.posted, fate.message or {}
    style = _STYLES.get(fate.became, "dim") if fate.as_it_should else "bold red"
    at = str(message.get("at", ""))
    return (
        f"{posted.event.at:%H:%M}",
        posted.provider,
        posted.who,
        Text(_short(_what(posted))),
        str(posted.status),
        Text(fate.became.value, style=style),
        f"{datetime.fromisoformat(at):%H:%M:%S}" if at else "",
        str(message.get("conversation_id") or "")[:8],
        fate.agent,
    )


def _what(posted: Posted) -> str:
    match posted.event:
        case Forges():
            return f"forged: {posted.event.text}"
        case Breaks():
            return "a body that breaks off"
        case Reports():
            return f"status: {posted.event.status}"
        case Types() | Reads():
            return posted.event.does
    return posted.shows


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
