"""What nobody could ever serve goes to its fallback Inbox at once, and says why (domain: Relaxation)."""

from dataclasses import replace

from services.router.domain.decisions import overflowed
from services.router.domain.hopes import Hope, hope_of
from services.router.domain.pool import Pool
from services.router.domain.state import Request, Standing


def overflow(pool: Pool) -> None:
    """Move those of the changed requests that nobody could ever serve, if there is where to."""
    if pool.hopes_changed:
        pool.changed_requests |= _newly_hopeless(pool)
        pool.hopes_changed = False
    hopeless = [each for each in pool.changed_requests if _is_hopeless(pool, each)]
    for conversation_id in sorted(hopeless):
        standing = pool.state.standings[conversation_id]
        assert standing.request is not None  # noqa: S101  (what is hopeless waits)
        hope = hope_of(standing.request)
        refuge = pool.hopes.refuge(hope, pool.state.policy)
        if refuge:
            _move(pool, standing, standing.request, hope, refuge)


def _is_hopeless(pool: Pool, conversation_id: str) -> bool:
    request = pool.state.standings[conversation_id].request
    if request is None or request.offer:
        return False
    return not pool.hopes.left(hope_of(request), pool.state.policy)


def _newly_hopeless(pool: Pool) -> set[str]:
    policy = pool.state.policy
    return {
        conversation_id
        for hope, waiting in pool.hoping.items()
        if not pool.hopes.left(hope, policy) and pool.hopes.refuge(hope, policy)
        for conversation_id in waiting
    }


def _move(pool: Pool, standing: Standing, request: Request, hope: Hope, refuge: Hope) -> None:
    before = request.need.inbox
    pool.leave_line(standing, request)
    if refuge.inbox != before:
        request.came_from = request.came_from or before
        request.need = replace(request.need, inbox=refuge.inbox)
    request.waived = not refuge.skills
    request.overflow = _reason(hope, refuge)
    if refuge.inbox != before:
        overflowed(pool, standing, request, before)
    pool.enqueue(standing, request)


def _reason(hope: Hope, refuge: Hope) -> str:
    wanted = ", ".join(f"{skill} {level}" for skill, level in hope.skills)
    what = f"no Agent of {hope.inbox} could ever have it ({', '.join(hope.classes)}"
    what += f"; {wanted})" if wanted else ")"
    to = f": to {refuge.inbox}" if refuge.inbox != hope.inbox else ""
    return f"{what}{to}, skills waived" if hope.skills and not refuge.skills else f"{what}{to}"
