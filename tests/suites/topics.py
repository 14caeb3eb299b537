"""What the topics command does, on any server of Kafka's protocol.

A subclass gives `bootstrap`, and `copies`: how many brokers there are.
"""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from schemas.topics import AGENTS_EVENTS, MESSAGES_INBOUND, Topic
from services.chassis.settings import TopicSettings
from services.chassis.topics import create_topics, differences


def _topics() -> tuple[Topic, Topic]:
    unique = uuid4().hex[:8]
    return (
        replace(MESSAGES_INBOUND, name=f"{unique}.kept-a-week", partitions=3),
        replace(AGENTS_EVENTS, name=f"{unique}.compacted", partitions=2),
    )


async def _create(settings: TopicSettings, topics: tuple[Topic, ...]) -> list[str]:
    return await create_topics(
        settings, topics, replication_factor=settings.topic_replication, configs=settings.topic_configs
    )


class TopicsSuite:
    """Create, create again, and differences."""

    def _settings(self, bootstrap: str, copies: int) -> TopicSettings:
        return TopicSettings(
            kafka_bootstrap_servers=bootstrap,
            topic_replication=copies,
            topic_min_insync_replicas=max(1, copies - 1),
        )

    async def test_topics_are_made_once_and_then_as_their_rows_say(self, bootstrap: str, copies: int) -> None:
        settings, (week, compacted) = self._settings(bootstrap, copies), _topics()
        assert await differences(settings, [week]) == [f"{week.name}: is missing"]

        assert await _create(settings, (week,)) == [week.name]
        assert await _create(settings, (week, compacted)) == [compacted.name]
        assert await _create(settings, (week, compacted)) == []
        assert await differences(settings, [week, compacted]) == []

    async def test_every_difference_is_named_and_nothing_is_changed(
        self, bootstrap: str, copies: int
    ) -> None:
        settings, (week, compacted) = self._settings(bootstrap, copies), _topics()
        await _create(settings, (week, compacted))

        other = settings.model_copy(update={"topic_replication": copies + 1, "topic_min_insync_replicas": 4})
        rows = (
            replace(week, partitions=5, retention=timedelta(days=2)),
            replace(compacted, compact=False),
        )
        assert await create_topics(settings, rows) == []
        assert await differences(other, rows) == [
            f"{week.name}: retention.ms is 604800000, not 172800000",
            f"{week.name}: min.insync.replicas is {max(1, copies - 1)}, not 4",
            f"{week.name}: partitions is 3, not 5",
            f"{week.name}: replication is {copies}, not {copies + 1}",
            f"{compacted.name}: cleanup.policy is compact, not delete",
            f"{compacted.name}: min.insync.replicas is {max(1, copies - 1)}, not 4",
            f"{compacted.name}: replication is {copies}, not {copies + 1}",
        ]
        assert await differences(settings, [week, compacted]) == []
