"""Settings of identity alone; see services.chassis.settings for the common ones."""

from pydantic import Field, SecretStr

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
    customer_data_url: str = Field(
        "", description="where your own system is asked for a Customer's data; empty: nowhere"
    )
    customer_data_secret: SecretStr = Field(
        SecretStr(""),
        description="signs the questions (Standard Webhooks, `whsec_…`); or {file: PATH}, {env: NAME}, "
        "or a list of these while it changes",
    )
    customer_data_name: str = Field(
        "customer-data",
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="what it is called where an attribute says who gave it",
    )
    customer_data_private: bool = Field(
        default=False, description="whether its address may be a private one, and plain http"
    )
    customer_data_timeout_seconds: float = Field(2.0, gt=0, le=30, description="longest wait for an answer")
    customer_data_at_once: int = Field(8, ge=1, le=40, description="questions a replica asks at once")
    customer_data_tries: int = Field(8, ge=1, description="questions before a Customer is left alone")
    customer_data_ttl_seconds: float = Field(
        3600.0, gt=0, description="age at which data is asked for again when its Customer writes"
    )
    customer_data_unknown_ttl_seconds: float = Field(
        300.0, gt=0, description="the same where there was none, or no answer"
    )
