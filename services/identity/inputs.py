"""Bodies of identity's routes."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from services.chassis.text import clean, line
from services.identity.domain.profile import LONGEST_NAME


def _one_line(name: str) -> str:
    return line(name, LONGEST_NAME)


def _storable(name: str) -> str:
    if "." in name or name.startswith("$") or clean(name) != name:
        message = "must not contain '.' or U+0000, nor begin with '$'"
        raise ValueError(message)
    return name


Name = Annotated[str, StringConstraints(max_length=LONGEST_NAME), AfterValidator(_one_line)]
AttributeName = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_storable)]
AttributeValue = Annotated[str, StringConstraints(max_length=1000), AfterValidator(clean)]
Attributes = Annotated[dict[AttributeName, AttributeValue], Field(max_length=50)]
AttributePatch = Annotated[dict[AttributeName, AttributeValue | None], Field(max_length=50)]


class Input(BaseModel):
    """A body; unknown fields are refused, so a misspelled one is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class IdentifierInput(Input):
    """An identifier as a person writes it: `{"kind": "sms", "value": "+15551230001"}`."""

    kind: str = Field(max_length=80)
    value: str = Field(max_length=1000)


class CustomerInput(Input):
    """A new Customer."""

    name: Name | None = None
    identifiers: tuple[IdentifierInput, ...] = Field(default=(), max_length=20)
    attributes: Attributes = Field(default_factory=dict)


class MergeInput(Input):
    """Who goes on, and who is absorbed."""

    survivor: str = Field(min_length=1, max_length=100)
    absorbed: str = Field(min_length=1, max_length=100)

    @model_validator(mode="after")
    def _two(self) -> "MergeInput":
        if self.survivor == self.absorbed:
            message = "survivor and absorbed must be two Customers"
            raise ValueError(message)
        return self


class CustomerPatch(Input):
    """What to change: what is left out stays, null takes away (RFC 7396)."""

    name: Name | None = None
    attributes: AttributePatch = Field(default_factory=dict)
