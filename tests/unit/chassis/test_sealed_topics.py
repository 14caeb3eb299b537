"""No personal part stays in the log in clear: each topic that has one is sealed, or forgets it soon."""

import pytest

from schemas.topics import TOPICS, WEEK, Topic, record_models

PERSONAL = [
    topic for topic in TOPICS if any("personal" in model.model_fields for model in record_models(topic))
]
OF_AGENTS = {"routing.commands", "agents.events"}
"""Their personal parts are names of our own people."""


@pytest.mark.parametrize("topic", PERSONAL, ids=lambda topic: topic.name)
def test_a_topic_with_personal_parts_is_sealed_or_kept_for_a_week_at_most(topic: Topic) -> None:
    short = topic.retention is not None and topic.retention <= WEEK
    assert topic.sealed or short or topic.name in OF_AGENTS


@pytest.mark.parametrize("topic", [each for each in TOPICS if each.sealed], ids=lambda topic: topic.name)
def test_a_sealed_record_has_a_home_whose_key_seals_it(topic: Topic) -> None:
    for model in record_models(topic):
        if "personal" in model.model_fields:
            assert model.model_fields["home"].is_required(), model.__name__


def test_words_of_customers_stand_in_no_other_topic_that_is_kept() -> None:
    kept = {topic.name for topic in TOPICS if topic.retention is None and topic in PERSONAL}
    assert kept == {topic.name for topic in TOPICS if topic.sealed} | OF_AGENTS
