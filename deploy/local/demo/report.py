"""Shows the day's outcome as tables."""

from collections import Counter
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.local.demo.day import Breaks, Forges, Reports
from deploy.local.demo.fates import Became, Fate, Outcome
from deploy.local.demo.play import Posted

_STYLES = {
    Became.MESSAGE: "green",
    Became.DUPLICATE: "cyan",
    Became.REFUSED: "yellow",
    Became.QUARANTINED: "magenta",
}
_LONGEST = 36


def show(found: Outcome, out: Console) -> None:
    """Print one row a webhook, one a reply, and the sums."""
    webhooks = Table(
        "time", "channel", "from", "what", "answer", "became", "timeline", "conversation", "agent"
    )
    webhooks.title = "What became of every webhook"
    for fate in found.fates:
        webhooks.add_row(*_row(fate))
    out.print(webhooks)
    replies = Table("time", "to", "channel", "text", "agent", "delivery", title="What became of every reply")
    for each in found.deliveries:
        event, message = each.replied.event, each.message or {}
        delivery = Text(
            str(message.get("status", "LOST")), style="green" if each.as_it_should else "bold red"
        )
        cells = (f"{event.at:%H:%M}", event.to, str(message.get("channel", "")), _short(event.text))
        replies.add_row(*cells, each.replied.agent, delivery)
    out.print(replies)
    sums = Counter(fate.became for fate in found.fates)
    out.print(", ".join(f"{count} {became.value}" for became, count in sums.most_common()))
    style = "bold green" if found.good else "bold red"
    out.print(
        "Everything is where it belongs." if found.good else "Something is not where it belongs.", style=style
    )


def _row(fate: Fate) -> tuple[str | Text, ...]:
    posted, message = fate.posted, fate.message or {}
    style = _STYLES.get(fate.became, "dim") if fate.as_it_should else "bold red"
    at = str(message.get("at", ""))
    return (
        f"{posted.event.at:%H:%M}",
        posted.channel.value,
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
    return posted.shows


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
