"""Small days for the tests of simulation and replay."""

from typing import Any

from services.router.domain.policy import InboxPolicy, Policy
from services.router.simulation.scenario import Scenario

POLICY = Policy(defaults=InboxPolicy(preferred_grace_seconds=5))


def scenario(**changes: Any) -> Scenario:
    """Two hours, some 140 Conversations, and Agents who are a little too few."""
    document: dict[str, Any] = {
        "hours": 2,
        "arrivals": [
            {
                "name": "chat",
                "inbox": "support",
                "channel": "chat",
                "a_day": 1400,
                "handling": {"median_seconds": 300},
                "patience": {"median_seconds": 200},
                "prefers": 0.2,
                "needs": [{"share": 0.3, "skills": {"billing": 1}, "priority": 1}],
            },
            {
                "name": "calls",
                "inbox": "support",
                "channel": "voice",
                "a_day": 300,
                "handling": {"median_seconds": 200},
            },
        ],
        "teams": [
            {
                "name": "chat",
                "agents": 2,
                "inboxes": ["support"],
                "channels": ["chat"],
                "skills": {"billing": 1},
                "skilled": 0.5,
                "shifts": [{"start": "00:00", "end": "02:00"}],
                "lost": 1,
            },
            {
                "name": "voice",
                "agents": 2,
                "inboxes": ["support"],
                "channels": ["voice"],
                "shifts": [
                    {"share": 0.5, "start": "00:00", "end": "08:00"},
                    {"share": 0.5, "start": "22:00", "end": "00:50"},
                ],
                "rejects": 0.2,
                "ignores": 0.2,
            },
        ],
    }
    return Scenario.model_validate({**document, **changes})
