"""Where a secret in a configuration file is: there itself, in an environment variable, or in a file."""

import os
import re
from collections.abc import Callable
from pathlib import Path

Read = Callable[[Path], bytes]
"""Returns the bytes of a file; raises OSError."""

MOST_VALUES = 3
"""Values of one secret that may be valid at a time."""
_MOST_BYTES = 65_536
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FORMS = f"must be a quoted string, {{env: NAME}}, {{file: PATH}}, or a list of 1 to {MOST_VALUES} of these"


class BadSecret(ValueError):  # noqa: N818  (the secret is bad)
    """A secret cannot be had. Says which field and where it was looked for; never quotes a value."""


def read_file(path: Path) -> bytes:
    """Return the file's bytes. Raises OSError."""
    return path.read_bytes()


def values(field: str, given: object, directory: Path, read: Read = read_file) -> tuple[str, ...]:
    """Return the secret's values, newest first. Raises BadSecret, which names `field`.

    `given` is a string, `{"env": NAME}`, `{"file": PATH}` (seen from `directory`; one newline at its end is
    not part of it), or a list of these.
    """
    if not isinstance(given, list):
        return (_value(field, given, directory, read),)
    if not 1 <= len(given) <= MOST_VALUES:
        raise BadSecret(f"{field}: {_FORMS}")
    found = [_value(f"{field}.{number}", each, directory, read) for number, each in enumerate(given)]
    for number, value in enumerate(found):
        if not value:
            raise BadSecret(f"{field}.{number}: is empty")
    return tuple(found)


def _value(field: str, given: object, directory: Path, read: Read) -> str:
    match given:
        case str():
            return given
        case {"env": str(name), **rest} if not rest and _VARIABLE.fullmatch(name):
            return _of_variable(field, name)
        case {"file": str(name), **rest} if not rest and name:
            return _of_file(field, directory / name, read)
    raise BadSecret(f"{field}: {_FORMS}")


def _of_variable(field: str, name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise BadSecret(f"{field}: environment variable {name} is {'not set' if value is None else 'empty'}")
    return value


def _of_file(field: str, path: Path, read: Read) -> str:
    try:
        content = read(path)
        value = content.decode()
    except OSError as error:
        raise BadSecret(f"{field}: {path}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise BadSecret(f"{field}: {path}: not UTF-8") from None
    value = value.removesuffix("\n").removesuffix("\r")
    if not value:
        raise BadSecret(f"{field}: {path}: is empty")
    if len(content) > _MOST_BYTES:
        raise BadSecret(f"{field}: {path}: longer than {_MOST_BYTES} bytes")
    return value
