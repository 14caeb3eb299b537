"""Tasks and the router's engine together, over a log that repeats and delays.

Whatever happens in whatever order: no Agent above capacity; and once all records have arrived, both sides
agree on whose a Task is, and no room is left with what is finished or never came to be.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from schemas import ids
from schemas.tasks import TaskStatus
from services.conversation.domain import tasks
from services.conversation.domain.routed import Routing
from services.conversation.domain.task import Task
from services.conversation.domain.task_draft import TaskDraft
from services.conversation.domain.tasks import Asked
from tests.unit.conversation.builders import INBOXES
from tests.unit.system.both import AGENTS, CUSTOMERS, Both

MOST_TASKS = 3
CHANGES = (Asked(), Asked(unassign=True), Asked(inbox=INBOXES["fallback"]), Asked(inbox=INBOXES["support"]))


class TaskSystem(Both):
    def __init__(self) -> None:
        super().__init__()
        for agent in AGENTS:
            self.sign_on(agent)
        self.come_to_rest()

    def known(self) -> list[tuple[str, Task]]:
        """Return whose Tasks there are; those that nobody sees yet aside."""
        return [
            (customer, task)
            for customer, thread in self.threads.items()
            for task in thread.tasks
            if not task.proposed
        ]

    @rule(customer=st.sampled_from(CUSTOMERS), agent=st.sampled_from((None, None, *AGENTS)))
    def make_a_task(self, customer: str, agent: str | None) -> None:
        if len(self.threads[customer].tasks) < MOST_TASKS:
            own = ids.derive("command", self.number())
            task = Task(
                id=str(own),
                home=customer,
                title="Call back",
                inbox="support",
                routing=Routing("main"),
                created_at=self.now,
                updated_at=self.now,
                created_by="lea",
            )
            self.change(customer, own, lambda draft: tasks.add(draft, task, assignee=agent, force=False))

    @precondition(lambda self: self.known())
    @rule(data=st.data(), asked=st.sampled_from(CHANGES), priority=st.integers(0, 2))
    def change_a_task(self, data: st.DataObject, asked: Asked, priority: int) -> None:
        customer, task = data.draw(st.sampled_from(self.known()))
        own = ids.derive("command", self.number())
        self.change(customer, own, lambda draft: tasks.change(draft, task, "lea", asked, priority=priority))

    @precondition(lambda self: self.known())
    @rule(data=st.data(), agent=st.sampled_from((*AGENTS, "nobody")))
    def assign_a_task(self, data: st.DataObject, agent: str) -> None:
        customer, task = data.draw(st.sampled_from(self.known()))
        own = ids.derive("command", self.number())
        self.change(
            customer, own, lambda draft: tasks.assign(TaskDraft(draft, task.id), agent, "lea", force=False)
        )

    @precondition(lambda self: self.finished)
    @rule()
    def open_a_task_again(self) -> None:
        customer, task = self.finished.pop()
        self.finished = [each for each in self.finished if each[1].id != task.id]
        own = ids.derive("command", self.number())
        self.change(
            customer, own, lambda draft: tasks.change(draft, task, "lea", Asked(status=TaskStatus.OPEN))
        )

    @precondition(lambda self: self.known())
    @rule(data=st.data(), status=st.sampled_from((TaskStatus.DONE, TaskStatus.CANCELLED)))
    def finish_a_task(self, data: st.DataObject, status: TaskStatus) -> None:
        customer, task = data.draw(st.sampled_from(self.known()))
        own = ids.derive("command", self.number())
        self.change(customer, own, lambda draft: tasks.change(draft, task, "lea", Asked(status=status)))


TaskSystem.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestTaskSystem = TaskSystem.TestCase
