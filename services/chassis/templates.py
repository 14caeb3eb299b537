"""Texts that a provider has approved: all that it takes once the Customer has been silent for long."""

import re
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, StrictStr, field_validator

_PLACE = re.compile(r"\{\{(\d{1,3})\}\}")
_LONGEST_PARAMETER = 1024
_UNFIT = re.compile(r"[\n\r\t]| {5}")
"""What WhatsApp refuses within a parameter."""


class UnfitTemplate(ValueError):  # noqa: N818  (says what is wrong)
    """A reply names a template that is not there, or does not fill it. `field` is the reply's."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Template(BaseModel):
    """A template of an account. `{{1}}`, `{{2}}`, … in its text stand for the parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: StrictStr = Field(pattern=r"^[A-Za-z0-9_.-]{1,512}$")
    language: StrictStr = Field(pattern=r"^[a-z]{2,3}([_-][A-Za-z]{2,4})?$")
    """As the provider writes it: `en`, `en_US`."""
    text: StrictStr = Field(min_length=1, max_length=4096)
    category: Literal["marketing", "utility", "authentication"] = "marketing"
    """The provider's; who stopped marketing gets the other two."""
    content_sid: StrictStr | None = Field(None, pattern=r"^HX[0-9a-fA-F]{32}$")
    """Twilio's id of the content."""

    @field_validator("text")
    @classmethod
    def _counts_its_parameters(cls, text: str) -> str:
        numbers = {int(number) for number in _PLACE.findall(text)}
        if numbers != set(range(1, len(numbers) + 1)):
            message = "parameters are numbered {{1}}, {{2}}, … without a gap"
            raise ValueError(message)
        return text

    @property
    def parameters(self) -> int:
        """How many parameters the text has."""
        return len(set(_PLACE.findall(self.text)))

    def fill(self, parameters: Sequence[str]) -> str:
        """Return the text as the Customer reads it. Raises UnfitTemplate."""
        if len(parameters) != self.parameters:
            message = f"{self.name} ({self.language}) has {self.parameters}, not {len(parameters)}"
            raise UnfitTemplate("template.parameters", message)
        for number, value in enumerate(parameters):
            if not value.strip() or len(value) > _LONGEST_PARAMETER or _UNFIT.search(value):
                message = (
                    f"must have 1 to {_LONGEST_PARAMETER} characters, no line break, tab or run of spaces"
                )
                raise UnfitTemplate(f"template.parameters.{number}", message)
        return _PLACE.sub(lambda place: parameters[int(place[1]) - 1], self.text)

    def offer(self) -> dict[str, object]:
        """Return what an Agent needs to know to use it."""
        shown = self.model_dump(include={"name", "language", "text", "category"})
        return {**shown, "parameters": self.parameters}


def distinct(templates: tuple[Template, ...]) -> tuple[Template, ...]:
    """Return them. Raises ValueError when one is given twice."""
    names = [(each.name, each.language) for each in templates]
    for name, language in names:
        if names.count((name, language)) > 1:
            message = f"{name} ({language}) is given twice"
            raise ValueError(message)
    return templates


def choose(templates: Sequence[Template], name: str, language: str | None) -> Template:
    """Return the template; the language may be left out where there is one only. Raises UnfitTemplate."""
    named = [each for each in templates if each.name == name]
    if not named:
        known = ", ".join(sorted({each.name for each in templates})) or "none"
        raise UnfitTemplate("template.name", f"the account has no template {name}; it has: {known}")
    spoken = [each for each in named if language in (None, each.language)]
    if len(spoken) != 1:
        known = ", ".join(sorted(each.language for each in named))
        raise UnfitTemplate("template.language", f"{name} is there in: {known}; name one of them")
    return spoken[0]
