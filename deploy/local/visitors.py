"""Remembers chat visitors' tokens between commands, as a browser does."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Open = Callable[[str], dict[str, Any]]
"""Opens a session for a name and returns the widget's answer: `token`, `expires_at`."""


class Visitors:
    """Tokens by the visitor's name, in `visitors.json` of the data directory."""

    def __init__(self, data_dir: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._file = data_dir / "visitors.json"
        self._now = now

    def token(self, name: str, open_session: Open) -> str:
        """Return the visitor's token, of a new session where there is none that is valid."""
        known = self._read()
        kept = known.get(name)
        if kept is None or datetime.fromisoformat(kept["expires_at"]) <= self._now():
            known[name] = kept = open_session(name)
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps(known))
        return str(kept["token"])

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            known: dict[str, dict[str, Any]] = json.loads(self._file.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return known
