"""Settings of ingest."""

from pydantic import Field

from services.chassis.settings import Settings


class IngestSettings(Settings):
    """Read from environment variables of the same names in upper case."""

    body_timeout_seconds: float = Field(
        30.0, gt=0, description="longest time a sender may take to send a request's body"
    )
    nonce_lifetime_seconds: float = Field(
        32_400.0,
        gt=0,
        description="how old a signature that does not cover its body may be (Mailgun tries again for 8 h)",
    )
    sns_base_url: str | None = Field(
        None, description="what is asked for certificates instead of Amazon SNS; only in the local stack"
    )
    certificate_timeout_seconds: float = Field(
        3.0, gt=0, description="longest wait for a certificate that a request is checked with"
    )
    visitor_lifetime_days: int = Field(180, gt=0, description="how long a chat visitor's token is valid")
    webchat_sessions_burst: int = Field(300, gt=0, description="chat sessions an address may start at once")
    webchat_sessions_per_minute: float = Field(
        120, gt=0, description="chat sessions an address may start a minute after that"
    )
    webchat_messages_burst: int = Field(200, gt=0, description="messages a chat visitor may send at once")
    webchat_messages_per_minute: float = Field(
        60, gt=0, description="messages a chat visitor may send a minute after that"
    )
