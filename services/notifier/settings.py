"""Settings of notifier alone; see services.chassis.settings for the common ones."""

from typing import Self

from pydantic import Field, SecretStr, model_validator

from services.chassis.settings import Settings


class NotifierSettings(Settings):
    """Sending, the live feed, and webhooks to integrators."""

    provider_api_base: str | None = Field(
        None, description="base of all providers' sending APIs (`<base>/<provider>`); unset: their own"
    )
    file_link_secret: SecretStr = Field(
        SecretStr(""), description="signs links to files that providers fetch (HS256); at least 32 bytes"
    )
    file_link_hours: float = Field(
        24.0, gt=0, description="how long such a link is valid; a provider may fetch late"
    )
    sends_at_once: int = Field(8, gt=0, description="requests at a time to one account, per replica")
    send_timeout_seconds: float = Field(10.0, gt=0, description="longest wait for a provider's answer")
    files_timeout_seconds: float = Field(
        60.0,
        gt=0,
        description="longest time to read and upload a message's files; one that takes longer is tried again",
    )
    files_most_bytes: int = Field(50_000_000, gt=0, description="largest size of a message's files together")
    files_at_once_bytes: int = Field(
        100_000_000, gt=0, description="bytes of files that a replica holds in memory; other messages wait"
    )
    send_lease_seconds: float = Field(
        120.0, gt=0, description="after so long a claimed message without an outcome becomes `unknown`"
    )
    send_poll_seconds: float = Field(0.5, gt=0, description="pause between looks for other replicas' work")
    retry_first_seconds: float = Field(1.0, gt=0, description="pause after the first failed attempt; doubles")
    retry_most_seconds: float = Field(600.0, gt=0, description="longest pause between attempts")
    retry_limit_seconds: float = Field(
        86_400.0, gt=0, description="age at which a message that no provider takes has failed"
    )
    probe_first_seconds: float = Field(
        5.0, gt=0, description="pause until an account that its provider refused is tried again; doubles"
    )
    probe_most_seconds: float = Field(300.0, gt=0, description="longest such pause")
    outbox_age_seconds: float = Field(3.0, gt=0, description="age at which left-over effects are carried out")
    parked_days: int = Field(7, gt=0, description="how long a receipt waits for the message it is about")
    echo_hold_seconds: float = Field(
        30.0,
        gt=0,
        description="how long an echo that names no sender waits for a message of ours, before it is "
        "shown as sent by somebody else; above SEND_TIMEOUT_SECONDS",
    )
    stream_queue: int = Field(
        1000, gt=0, description="events a slow stream may be behind before it is closed"
    )
    stream_ping_seconds: float = Field(15.0, gt=0, description="longest silence on a stream")
    stream_write_seconds: float = Field(
        30.0, gt=0, description="longest wait for a client that reads nothing"
    )
    ring_records: int = Field(500, gt=0, description="latest records kept in memory per partition")
    ring_bytes: int = Field(1_000_000, gt=0, description="bytes of them per partition")
    resume_records: int = Field(50_000, gt=0, description="most records a resuming stream is read from Kafka")
    resume_seconds: float = Field(10.0, gt=0, description="longest time that may take")
    resumes_at_once: int = Field(4, gt=0, description="streams that may read from Kafka at a time")

    webhooks_most: int = Field(50, gt=0, description="webhook subscriptions there may be")
    webhook_at_once: int = Field(8, gt=0, description="requests at a time to one endpoint, per replica")
    webhook_timeout_seconds: float = Field(15.0, gt=0, description="longest request to an endpoint")
    webhook_lease_seconds: float = Field(
        60.0, gt=0, description="after so long an event whose sender is gone is sent again"
    )
    webhook_poll_seconds: float = Field(0.5, gt=0, description="pause between looks for events that are due")
    webhook_most_bytes: int = Field(
        65_536, gt=0, description="largest event; a larger one comes without text and files"
    )
    webhook_schedule_seconds: tuple[float, ...] = Field(
        (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400),
        min_length=1,
        description="pauses after failed attempts, as a JSON list; the last one for all later",
    )
    webhook_give_up_seconds: float = Field(
        280_000.0,
        gt=0,
        description="how long an event is tried that an endpoint refuses while it takes others",
    )
    webhook_pause_seconds: float = Field(
        259_200.0, gt=0, description="an endpoint that only failed for so long is paused"
    )
    webhook_pause_failures: int = Field(8, gt=0, description="and that failed at least so often")
    webhook_secret_grace_seconds: float = Field(
        86_400.0, ge=0, description="how long a rotated secret still signs beside the new one"
    )
    webhook_deliveries_days: int = Field(30, gt=0, description="how long finished deliveries are listed")

    @model_validator(mode="after")
    def _dead_endpoints_pause_first(self) -> Self:
        if self.webhook_lease_seconds <= self.webhook_timeout_seconds:
            message = "WEBHOOK_LEASE_SECONDS must be above WEBHOOK_TIMEOUT_SECONDS"
            raise ValueError(message)
        if self.webhook_pause_seconds > self.webhook_give_up_seconds:
            message = "WEBHOOK_PAUSE_SECONDS must not be above WEBHOOK_GIVE_UP_SECONDS"
            raise ValueError(message)
        if min(self.webhook_schedule_seconds) < 0:
            message = "WEBHOOK_SCHEDULE_SECONDS must not hold negative numbers"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _lease_and_hold_outlast_the_request(self) -> Self:
        if self.send_lease_seconds <= self.send_timeout_seconds + self.files_timeout_seconds:
            message = "SEND_LEASE_SECONDS must be above SEND_TIMEOUT_SECONDS + FILES_TIMEOUT_SECONDS"
            raise ValueError(message)
        if self.files_at_once_bytes < self.files_most_bytes:
            message = "FILES_AT_ONCE_BYTES must not be below FILES_MOST_BYTES"
            raise ValueError(message)
        if self.echo_hold_seconds <= self.send_timeout_seconds:
            message = "ECHO_HOLD_SECONDS must be above SEND_TIMEOUT_SECONDS"
            raise ValueError(message)
        return self
