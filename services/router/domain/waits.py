"""Expected wait."""
from bisect import bisect_left
from services.router.domain.pool import Pool
from services.router.domain.queues import line, place
from services.router.domain.state import Standing
HANDLING_SECONDS=300.0
class Foresight:
    def __init__(self, pool: Pool) -> None:
        self.pool = pool
    def of(self, standing: Standing) -> float | None:
        pool=self.pool; r=standing.request; need=r.need; k=need.classes[0]
        where=place(standing.conversation_id,r)
        crew=pool.crews.of(need.inbox,line(need))
        room=sum(min(getattr(pool.state.agents[a].capacity,k),pool.state.agents[a].capacity.total) for a in crew.ranks)
        if not room: return None
        pos=1+sum(p.bisect_left(where) for l,p in pool.queues.lines(need.inbox) if l.classes[0] is k)
        return pos*pool.state.handling.get(need.inbox,{}).get(k,HANDLING_SECONDS)/room
