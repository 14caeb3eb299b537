"""A message that the provider takes only in several requests: long texts, and files one at a time."""

from collections.abc import Awaitable, Callable, Sequence

from services.notifier.channels.sending import Means, Refused, Retry, Sent, Unknown, refused

MOST_PARTS = 30
Request = Callable[[], Awaitable[Sent]]


async def one_by_one(means: Means, requests: Sequence[Request]) -> Sent:
    """Make the requests in their order; the last one's outcome is the message's. See Send.

    Providers do not know a repeated part, so once one was taken the message is never sent again:
    what stops a later part is final, and says how far it came.
    """
    if not 0 < len(requests) <= MOST_PARTS:
        raise refused("too_long" if requests else "empty", "rejected")
    done = 0
    try:
        for request in requests[:-1]:
            part = await request()
            done += 1
            await means.took(part.provider_message_id, f"{done} of {len(requests)}")
        return await requests[-1]()
    except (Refused, Retry, Unknown) as outcome:
        if not done:
            raise
        raise _cut_off(outcome, f"{done} of {len(requests)} parts were sent") from outcome


def _cut_off(outcome: Refused | Retry | Unknown, so_far: str) -> Exception:
    match outcome:
        case Refused():
            detail = f"{so_far}; of the next: {outcome.detail}"
            return Refused(outcome.code, detail, outcome.kind, partly=True)
        case Retry():
            return Refused(
                outcome.code, f"{so_far}; the provider did not take the next", "rejected", partly=True
            )
        case Unknown():
            return Unknown(f"{so_far}; of the next: {outcome.detail}")


def pieces(text: str, most: int, encoding: str = "utf-16-le") -> list[str]:
    """Return `text` in pieces of at most `most` bytes in `encoding`, cut between lines or words if it can be.

    A provider's limit of n characters is 2 n bytes of UTF-16: emoji then count as two, as some count
    them. A text of white space alone has no pieces.
    """
    found, rest = [], text.strip()
    while len(encoded := rest.encode(encoding)) > most:
        head = encoded[:most].decode(encoding, "ignore")
        end = _last_break(head + rest[len(head) : len(head) + 1]) or len(head)
        found.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return [*found, rest] if rest else found


def _last_break(head: str) -> int:
    """Return where the last line ends, if that is in the second half, else the last word."""
    line = head.rfind("\n")
    return line if line > len(head) // 2 else max(head.rfind(" "), line, 0)
