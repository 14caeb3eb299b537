"""Reads the Dockerfile, and performs its steps in directories: one a stage, no container engine.

What a directory can't show: the base image itself (this machine's Python stands in for it), and what
`EXPOSE` and `STOPSIGNAL` tell an engine. Absolute paths below `/opt` and `/etc` stand for paths below the
stage's directory.
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import split

from docker.utils import exclude_paths
from dockerfile_parse import DockerfileParser

from tests.servers.stack import ROOT

DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
_IN_IMAGE = re.compile(r"(?<![\w./-])/(?=(?:opt|etc)/)")
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")
_TOLD_TO_ENGINES = {"EXPOSE", "STOPSIGNAL", "COMMENT"}


class StepError(Exception):
    """A step of the Dockerfile can't be performed. The text names line and reason."""


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction."""

    line: int
    name: str
    value: str


@dataclass(slots=True)
class Stage:
    """A stage and what its steps made of it; `root` stands for `/`."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    workdir: Path = Path("/")
    user: str = "0:0"
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()

    def at(self, path: str) -> Path:
        """Return where a path of the image, absolute or of its working directory, is on this machine."""
        return self.root / (self.workdir / path).relative_to("/")

    def mapped(self, text: str) -> str:
        """Return `text` with the image's absolute paths put below `root`."""
        return _IN_IMAGE.sub(f"{self.root}/", text)

    def variables(self) -> dict[str, str]:
        """Return the image's environment, paths mapped; nothing of this process' but the way to packages."""
        own = {name: self.mapped(value) for name, value in self.environment.items()}
        base = str(Path(sys._base_executable).parent)  # type: ignore[attr-defined]  # noqa: SLF001
        return {
            **own,
            "PATH": f"{own.get('PATH', '').replace(':$PATH', '')}:{base}:/usr/bin:/bin".lstrip(":"),
        }


def stages() -> dict[str, tuple[str, list[Step]]]:
    """Return the Dockerfile's stages in its order, by name: what each starts from, and its steps."""
    found: dict[str, tuple[str, list[Step]]] = {}
    arguments: dict[str, str] = {}
    name = ""
    for entry in DockerfileParser(fileobj=io.BytesIO(DOCKERFILE.read_bytes())).structure:
        step = Step(entry["startline"] + 1, entry["instruction"].upper(), entry["value"])
        if step.name == "FROM":
            origin, _, name = step.value.partition(" AS ")
            found[name] = (_VARIABLE.sub(lambda match: arguments[match[1]], origin), [])
        elif step.name == "ARG":
            argument, _, value = step.value.partition("=")
            arguments[argument] = value
        elif step.name not in _TOLD_TO_ENGINES:
            found[name][1].append(step)
    return found


def context() -> frozenset[str]:
    """Return the files and directories that `.dockerignore` lets through, relative to the project."""
    return frozenset(exclude_paths(str(ROOT), (ROOT / ".dockerignore").read_text().splitlines()))


class Builder:
    """Performs the steps of a target and of the stages it needs, each stage once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stages = stages()
        self._context = context()
        self._built: dict[str, Stage] = {}

    def build(self, target: str) -> Stage:
        """Return the built stage; raises StepError, which names the line."""
        if target in self._built:
            return self._built[target]
        origin, steps = self._stages[target]
        stage = self._copy_of(self.build(origin), target) if origin in self._stages else self._new(target)
        for step in steps:
            try:
                getattr(self, f"_{step.name.lower()}")(stage, step.value)
            except (AttributeError, OSError, ValueError, KeyError) as error:
                message = f"{DOCKERFILE.name}:{step.line}: {step.name} {step.value}: {error}"
                raise StepError(message) from error
        self._built[target] = stage
        return stage

    def _new(self, target: str) -> Stage:
        root = self._directory / target
        root.mkdir()
        return Stage(root)

    def _copy_of(self, origin: Stage, target: str) -> Stage:
        root = self._directory / target
        shutil.copytree(origin.root, root, symlinks=True)
        return Stage(
            root, dict(origin.environment), origin.workdir, origin.user, origin.entrypoint, origin.command
        )

    def _workdir(self, stage: Stage, value: str) -> None:
        stage.workdir /= value
        stage.at("").mkdir(parents=True, exist_ok=True)

    def _env(self, stage: Stage, value: str) -> None:
        for pair in split(value):
            name, _, text = pair.partition("=")
            stage.environment[name] = text

    def _user(self, stage: Stage, value: str) -> None:
        stage.user = value

    def _entrypoint(self, stage: Stage, value: str) -> None:
        stage.entrypoint = tuple(json.loads(value))

    def _cmd(self, stage: Stage, value: str) -> None:
        stage.command = tuple(json.loads(value))

    def _run(self, stage: Stage, value: str) -> None:
        proxies = {
            name: text
            for name, text in os.environ.items()
            if name.lower().endswith("_proxy")
            or name.startswith("PIP_")
            or name.endswith(("_CERT_FILE", "_CA_BUNDLE"))
        }
        ended = subprocess.run(  # noqa: S602 - the Dockerfile's own line, as an engine would run it
            stage.mapped(value),
            shell=True,
            cwd=stage.at(""),
            env=proxies | {"HOME": str(Path.home())} | stage.variables(),
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            raise ValueError(f"exit code {ended.returncode}\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}")

    def _copy(self, stage: Stage, value: str) -> None:
        *sources, target = split(value)
        if sources[0].startswith("--from="):
            origin = self.build(sources.pop(0).removeprefix("--from="))
            pairs = [pair for source in sources for pair in _tree(origin.at(source))]
        else:
            pairs = [pair for source in sources for pair in self._of_context(source)]
        to = stage.at(target)
        if not target.endswith("/"):
            raise ValueError("only a directory, written with a closing slash, is understood as the target")
        for file, relative in pairs:
            place = to / relative
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, place, follow_symlinks=False)

    def _of_context(self, source: str) -> Iterator[tuple[Path, Path]]:
        base = Path(source)
        inside = [Path(name) for name in self._context if base in Path(name).parents]
        if source in self._context and (ROOT / source).is_file():
            yield ROOT / source, Path(base.name)
        elif inside:
            yield from ((ROOT / path, path.relative_to(base)) for path in inside if (ROOT / path).is_file())
        else:
            raise ValueError(f"{source} is not in the build context: it does not exist, or is ignored")


def _tree(source: Path) -> Iterator[tuple[Path, Path]]:
    if not source.exists():
        raise ValueError(f"no {source.name} in the stage")
    for directory, names, files in os.walk(source):
        links = [name for name in names if (Path(directory) / name).is_symlink()]
        for name in (*links, *files):
            path = Path(directory) / name
            yield path, path.relative_to(source)


def as_user(user: str) -> Sequence[str]:
    """Return what to put before a command so that it runs as `uid:gid`; only root can.

    The one capability lets it read this machine's Python where that lies in root's own home.
    """
    if os.geteuid() != 0:
        return []
    uid, _, gid = user.partition(":")
    become = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs"]
    return [*become, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
