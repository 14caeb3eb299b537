"""`python -m deploy.grafana.generate [--check]`: writes the dashboards' JSON, or names what differs."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.grafana.model import to_json
from deploy.grafana.overview import OVERVIEW
from deploy.grafana.pipeline import PIPELINE

DIRECTORY = Path(__file__).parent / "dashboards"


def documents() -> dict[str, str]:
    """Return the content of every file, by name."""
    return {
        f"{dashboard.uid.removeprefix('parley-')}.json": json.dumps(to_json(dashboard), indent=2) + "\n"
        for dashboard in (OVERVIEW, PIPELINE)
    }


def drift(directory: Path = DIRECTORY) -> list[str]:
    """Return the files of `directory` that are missing, differ, or belong to nothing."""
    present = {path.name: path.read_text(encoding="utf-8") for path in directory.glob("*")}
    wanted = documents()
    return sorted(name for name in wanted.keys() | present if wanted.get(name) != present.get(name))


def main(arguments: Sequence[str]) -> int:
    """Write the files, or with `--check` only compare; returns the exit code."""
    if list(arguments) == ["--check"]:
        drifted = drift()
        for name in drifted:
            sys.stderr.write(f"deploy/grafana/dashboards/{name}: differs; run `make dashboards`\n")
        return 1 if drifted else 0
    for name, text in documents().items():
        (DIRECTORY / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
