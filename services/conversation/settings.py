"""Settings of conversation alone; see services.chassis.settings for the common ones."""

from pathlib import Path

from pydantic import Field

from services.chassis.settings import LOCAL, Settings


class ConversationSettings(Settings):
    """Timers and waits."""

    timer_interval_seconds: float = Field(0.5, gt=0, description="pause between looks for due timers")
    timer_batch: int = Field(500, gt=0, description="threads whose timers fire in one round")
    outbox_age_seconds: float = Field(3.0, gt=0, description="age at which left-over effects are carried out")
    body_timeout_seconds: float = Field(
        60.0, gt=0, description="longest time an Agent may take to upload a file"
    )
    rules_file: Path = Field(
        LOCAL / "rules.yaml", description="rules that act on Conversations by themselves; see docs/rules.md"
    )
    rules_reload_seconds: float = Field(
        5.0, gt=0, description="pause between looks whether the file of rules has changed"
    )
    dry_run_seconds: float = Field(
        8.0, gt=0, description="longest time that a dry run of rules looks at past Conversations"
    )
    decision_wait_seconds: float = Field(
        10.0, gt=0, description="longest wait of take and transfer for the router"
    )
