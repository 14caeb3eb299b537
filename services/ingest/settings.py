"""Settings of ingest."""

from pathlib import Path

from pydantic import Field

from services.chassis.settings import LOCAL, Settings


class IngestSettings(Settings):
    """Read from environment variables of the same names in upper case."""

    body_timeout_seconds: float = Field(
        30.0, gt=0, description="longest time a sender may take to send a request's body"
    )
    visitor_lifetime_days: int = Field(180, gt=0, description="how long a chat visitor's token is valid")
    ivr_file: Path = Field(
        LOCAL / "ivr.yaml", description="menus that callers hear; without the file they may leave a message"
    )
    webchat_sessions_burst: int = Field(300, gt=0, description="chat sessions an address may start at once")
    webchat_sessions_per_minute: float = Field(
        120, gt=0, description="chat sessions an address may start a minute after that"
    )
    webchat_messages_burst: int = Field(200, gt=0, description="messages a chat visitor may send at once")
    webchat_messages_per_minute: float = Field(
        60, gt=0, description="messages a chat visitor may send a minute after that"
    )
