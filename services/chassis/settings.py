"""Settings that every service has; each service's own settings extend them."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

LOCAL = Path(__file__).resolve().parents[2] / "deploy" / "local"


class Settings(BaseSettings):
    """Read from environment variables of the same names in upper case."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    kafka_bootstrap_servers: str = Field("127.0.0.1:9092", description="host:port, several by comma")
    mongo_url: str = Field("mongodb://127.0.0.1:27017", description="MongoDB connection string")
    mongo_database: str = Field("parley", description="prefix of the databases, one per service")
    blob_store: str = Field(
        "gridfs:",
        description="where files are kept: gridfs:, file:///directory, or s3://bucket/prefix?endpoint=…&region=…",
    )
    attachment_most_bytes: int = Field(
        25_000_000, gt=0, description="largest file that is kept, whoever sends it"
    )
    attachment_refused_types: str = Field(
        "application/x-executable",
        description="types, told by the bytes, of files that are not kept, by comma",
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="port to listen on")
    public_url: str = Field(
        "http://127.0.0.1:8080", description="base of our URLs as providers see them; signatures cover it"
    )
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")
    accounts_file: Path = Field(LOCAL / "accounts.yaml", description="our accounts at the providers")
    accounts_reload_seconds: float = Field(
        5.0, gt=0, description="pause between looks whether it, or a file with a secret of it, has changed"
    )
    agents_file: Path = Field(LOCAL / "agents.yaml", description="Inboxes, and the local Agents")
    jwks_url: str = Field(
        "http://127.0.0.1:8080/dev/jwks.json",
        description="http(s):// or file:// URL of the token issuer's JWKS",
    )
    jwt_issuer: str = Field("parley", description="required `iss` of Agents' tokens")
    jwt_audience: str = Field("parley", description="required `aud` of Agents' tokens")
    visitor_token_secret: SecretStr = Field(
        SecretStr(""), description="signs visitors' tokens (HS256); at least 32 bytes"
    )
    customer_keys_secret: SecretStr = Field(
        SecretStr(""),
        description="wraps Customers' keys and hashes erased identifiers, the same for all services and for "
        "ever; at least 32 bytes",
    )
    publish_timeout_seconds: float = Field(
        4.0, gt=0, description="longest wait for Kafka's acknowledgement before a request is answered 503"
    )
    session_timeout_seconds: float = Field(
        30.0, gt=0, description="after so long without a heartbeat a consumer's partitions go to others"
    )
    retrying_seconds: float = Field(
        30.0, gt=0, description="readiness fails once one batch has been retried for so long"
    )
    suspicion_seconds: float = Field(
        60.0, ge=0, description="while many records fail, dead letters wait so long for the consumer to halt"
    )
    outside_allowed_networks: str = Field(
        "",
        description="private networks (CIDR, by comma) that URLs named by others may lead to all the same",
    )
    outside_plain_http: bool = Field(
        default=False, description="whether URLs named by others may be plain http"
    )
    forwarded_allow_ips: str = Field(
        "127.0.0.1", description="proxies whose X-Forwarded-For is believed, by comma; `*` for all"
    )
    request_timeout_seconds: float = Field(
        12.0, gt=0, description="a request that a dependency holds up for so long is answered 503"
    )
    drain_timeout_seconds: float = Field(
        14.0,
        gt=0,
        description="longest wait for work in flight at a rebalance or a stop; a stop may take 9 s more",
    )


class TopicSettings(Settings):
    """What `python -m services.chassis.topics` reads beside the common ones."""

    topic_replication: int = Field(
        1, ge=1, description="copies of each partition of a new topic; in clusters: 3"
    )
    topic_min_insync_replicas: int = Field(
        1, ge=1, description="copies that must have a record before it is acknowledged; in clusters: 2"
    )
    topic_wait_seconds: float = Field(
        60.0, ge=0, description="longest wait for Kafka before the topics command gives up"
    )

    @property
    def topic_configs(self) -> dict[str, str]:
        """Kafka's settings of every topic that the deployment decides."""
        return {"min.insync.replicas": str(self.topic_min_insync_replicas)}

    @model_validator(mode="after")
    def _enough_copies(self) -> Self:
        if self.topic_min_insync_replicas > self.topic_replication:
            message = "TOPIC_MIN_INSYNC_REPLICAS must not be above TOPIC_REPLICATION"
            raise ValueError(message)
        return self
