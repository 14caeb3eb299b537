"""Settings of ingest."""

from pathlib import Path

from pydantic import Field

from services.chassis.settings import LOCAL, Settings


class IngestSettings(Settings):
    """Read from environment variables of the same names in upper case."""

    provider_api_base: str | None = Field(
        None, description="base of all providers' APIs (`<base>/<provider>`); unset: their own"
    )
    fetches_at_once: int = Field(16, gt=0, description="files fetched at a time, per replica")
    fetches_per_provider: int = Field(4, gt=0, description="of these, files of one provider")
    fetch_seconds: float = Field(60.0, gt=0, description="longest time for fetching one file")
    fetch_poll_seconds: float = Field(
        1.0, gt=0, description="pause between looks for files that are due again"
    )
    fetch_retry_first_seconds: float = Field(
        2.0, gt=0, description="pause after the first failed try; doubles"
    )
    fetch_retry_most_seconds: float = Field(600.0, gt=0, description="longest pause between tries")
    fetch_limit_seconds: float = Field(
        21_600.0, gt=0, description="age of a message at which its files are given up"
    )
    unused_upload_hours: float = Field(
        24.0, gt=0, description="after so long an uploaded file that no message has is deleted"
    )
    webchat_uploads_burst: int = Field(20, gt=0, description="files a chat visitor may upload at once")
    webchat_uploads_per_minute: float = Field(
        10, gt=0, description="files a chat visitor may upload a minute after that"
    )
    webchat_address_uploads_burst: int = Field(
        100, gt=0, description="files that may be uploaded from one address at once, whoever the visitors are"
    )
    webchat_address_uploads_per_minute: float = Field(
        60, gt=0, description="files that may be uploaded from one address a minute after that"
    )
    webchat_address_upload_bytes_burst: int = Field(
        200_000_000, gt=0, description="bytes of files that may be uploaded from one address at once"
    )
    webchat_address_upload_bytes_per_minute: float = Field(
        100_000_000,
        gt=0,
        description="bytes of files that may be uploaded from one address a minute after that",
    )
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
