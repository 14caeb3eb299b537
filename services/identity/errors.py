"""Why identity refuses a command."""

from collections.abc import Sequence
from datetime import datetime

from schemas.common import Identifier


class TakenError(Exception):
    """The identifier is another Customer's."""

    def __init__(self, identifier: Identifier, customer_id: str) -> None:
        super().__init__("taken")
        self.identifier = identifier
        self.customer_id = customer_id


class UnknownCustomerError(Exception):
    """There is no such Customer."""

    def __init__(self, customer_id: str | None = None) -> None:
        super().__init__("unknown")
        self.customer_id = customer_id


class MovedError(Exception):
    """Another Customer absorbed this one."""

    def __init__(self, customer_id: str, survivor: str) -> None:
        super().__init__("moved")
        self.customer_id = customer_id
        self.survivor = survivor


class NotTheirsError(Exception):
    """The Customer does not have the identifier."""


class SameCustomerError(Exception):
    """The two are one Customer already."""

    def __init__(self, customer_id: str) -> None:
        super().__init__("same")
        self.customer_id = customer_id


class DisputedError(Exception):
    """Source systems know the two by different ids."""

    def __init__(self, sources: Sequence[str]) -> None:
        super().__init__("disputed")
        self.sources = sources


class UnknownMergeError(Exception):
    """There is no such merge."""


class UndoneError(Exception):
    """The merge was undone before."""

    def __init__(self, at: datetime) -> None:
        super().__init__("undone")
        self.at = at


class BusyError(Exception):
    """Other writers won too many times in a row."""
