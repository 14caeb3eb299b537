"""Where the commands print their tables."""

from rich.console import Console

_WIDTH = 130


def wide_console() -> Console:
    """Return a console wide enough for the tables where it is no terminal."""
    plain = Console()
    return plain if plain.is_terminal else Console(width=_WIDTH)
