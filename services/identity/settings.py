"""Settings of identity alone; see services.chassis.settings for the common ones."""

from pydantic import Field

from services.chassis.settings import Settings


class IdentitySettings(Settings):
    """How numbers are read, where the other services are, and when left-over events go out."""

    default_region: str = Field(
        "US", pattern=r"^[A-Z]{2}$", description="country (ISO 3166) of numbers given to the API without one"
    )
    conversation_url: str = Field(
        "http://127.0.0.1:8080", description="base of conversation's URLs; an export asks there"
    )
    notifier_url: str = Field("http://127.0.0.1:8080", description="base of notifier's URLs, likewise")
    ingest_url: str = Field("http://127.0.0.1:8080", description="base of ingest's URLs, likewise")
    outbox_age_seconds: float = Field(3.0, gt=0, description="age at which left-over events are published")
