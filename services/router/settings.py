"""The router's own environment."""

from pathlib import Path

from pydantic import Field

from schemas.common import ChannelClass
from services.chassis.settings import LOCAL, Settings
from services.router.domain.policy import InboxPolicy, Policy


class RouterSettings(Settings):
    """Read from environment variables of the same names in upper case."""

    session_timeout_seconds: float = Field(
        8.0, gt=0, description="after so long without a heartbeat a replica's pools go to others"
    )
    offer_timeout_seconds: float = Field(45.0, gt=0, description="an offer ends unanswered after so long")
    ask_again_seconds: float = Field(
        60.0, gt=0, description="who rejected an offer is not asked again for that Conversation before"
    )
    heartbeat_timeout_seconds: float = Field(
        30.0, gt=0, description="an Agent whose device was heard is lost after so long without a heartbeat"
    )
    preferred_grace_seconds: float = Field(
        10.0, ge=0, description="how long a request waits for a preferred Agent who is full or away"
    )
    remember_epochs_seconds: float = Field(
        600.0, gt=0, description="how long the epoch of a released Conversation is remembered"
    )
    routing_file: Path = Field(
        LOCAL / "routing.yaml",
        description="policies of routing by pool and Inbox (docs/routing.md); looked at again while it runs",
    )
    routing_reload_seconds: float = Field(
        5.0, gt=0, description="pause between looks whether that file has changed"
    )
    tick_seconds: float = Field(0.5, gt=0, description="pause between two looks at what is due")
    snapshot_every: int = Field(
        200, gt=0, description="least journal entries between two snapshots of a pool"
    )
    command_wait_seconds: float = Field(
        10.0, gt=0, description="longest wait of an HTTP command for its pool's answer before a 503"
    )

    @property
    def policy(self) -> Policy:
        """What holds where the file of policies says nothing."""
        return Policy(
            ask_again_seconds=self.ask_again_seconds,
            heartbeat_seconds=self.heartbeat_timeout_seconds,
            remember_seconds=self.remember_epochs_seconds,
            defaults=InboxPolicy(
                offer_seconds=dict.fromkeys(ChannelClass, self.offer_timeout_seconds),
                preferred_grace_seconds=self.preferred_grace_seconds,
            ),
        )
