"""Where a local stack is, and who its Agents are: what all local commands read from the environment."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import yaml

HERE = Path(__file__).parent
LOCAL_HOST = "127.0.0.1"
DEFAULT_PORT = 8080


class StackError(Exception):
    """A setting or file of the local stack cannot be used. The text says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Agent:
    """One entry of `agents.yaml`. `profile` is what the router is told, if it routes to this Agent."""

    id: str
    name: str
    roles: tuple[str, ...]
    profile: dict[str, Any] | None = field(default=None)


@dataclass(frozen=True, slots=True)
class Stack:
    """One stack, known by its port and its data directory."""

    port: int
    data_dir: Path
    public_url: str
    accounts_file: Path
    agents_file: Path

    @classmethod
    def from_environment(cls) -> Self:
        """Read PORT, DATA_DIR, PUBLIC_URL, ACCOUNTS_FILE and AGENTS_FILE; raises StackError."""
        text = os.environ.get("PORT") or str(DEFAULT_PORT)
        if not text.isdecimal() or int(text) > 65535:  # noqa: PLR2004 - the last TCP port
            message = f"PORT must be a number from 0 to 65535, not {text!r}"
            raise StackError(message)
        port, data_dir = int(text), Path(os.environ.get("DATA_DIR") or ".local").resolve()
        return cls(
            port,
            data_dir,
            _public_url(port, data_dir),
            Path(os.environ.get("ACCOUNTS_FILE") or HERE / "accounts.yaml"),
            Path(os.environ.get("AGENTS_FILE") or HERE / "agents.yaml"),
        )

    def at(self, port: int) -> Self:
        """Return it at the port that was taken: PORT=0 lets the system choose."""
        return replace(self, port=port, public_url=_given_or(f"http://{LOCAL_HOST}:{port}"))

    def remember(self, servers: Mapping[str, str] | None = None) -> None:
        """Tell the other commands what signatures cover, and by which variables the servers are reached."""
        known = {"port": self.port, "public_url": self.public_url, **(servers or {})}
        (self.data_dir / "stack.json").write_text(json.dumps(known))

    def known(self) -> dict[str, Any]:
        """Return what the last stack of this data directory remembered; nothing where none ran."""
        return _known(self.data_dir)

    @property
    def url(self) -> str:
        """Where it is reached on this machine."""
        return f"http://{LOCAL_HOST}:{self.port}"

    @property
    def providers(self) -> str:
        """Where the services find the simulated providers."""
        return os.environ.get("PROVIDER_API_BASE") or f"{self.url}/dev/providers"

    def agents(self) -> dict[str, Agent]:
        """Return the people of `agents.yaml` by id; raises StackError."""
        try:
            document = yaml.safe_load(self.agents_file.read_text(encoding="utf-8"))
            return {agent.id: agent for agent in map(_agent, document["agents"])}
        except OSError as error:
            message = f"{self.agents_file} cannot be read: {error.strerror}"
            raise StackError(message) from None
        except (yaml.YAMLError, KeyError, TypeError, AttributeError):
            message = f"{self.agents_file} needs a list `agents:` of entries with `id`, `name`, `roles`"
            raise StackError(message) from None


def _given_or(default: str) -> str:
    return (os.environ.get("PUBLIC_URL") or default).rstrip("/")


def _public_url(port: int, data_dir: Path) -> str:
    known = _known(data_dir)
    same = known.get("port") == port
    return _given_or(str(known["public_url"]) if same else f"http://{LOCAL_HOST}:{port}")


def _known(data_dir: Path) -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads((data_dir / "stack.json").read_text())
    except (OSError, ValueError):
        return {}
    return known


def _agent(entry: dict[str, Any]) -> Agent:
    return Agent(
        str(entry["id"]), str(entry.get("name", entry["id"])), tuple(entry["roles"]), entry.get("profile")
    )
