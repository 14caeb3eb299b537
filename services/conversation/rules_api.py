"""HTTP routes of the rules: what they are, and what they would have done."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field, model_validator

from schemas.envelope import Time
from services.chassis.auth import Lead
from services.chassis.clock import Clock
from services.chassis.problems import Problem
from services.conversation.domain.rules import Inboxes
from services.conversation.domain.ruling.definition import MOST_RULES, Rule, Rules
from services.conversation.dry_run import History, dry_run
from services.conversation.inputs import Input
from services.conversation.rules_file import BadRule, RulesFile, rules_of

_BACK = timedelta(days=7)
MOST_CONVERSATIONS = 1000


class DryRunInput(Input):
    """Rules in the form of the file, or those in force; over Conversations opened from `from` to `to`."""

    rules: list[Any] | None = Field(None, max_length=MOST_RULES)
    since: Annotated[Time | None, Field(alias="from")] = None
    until: Annotated[Time | None, Field(alias="to")] = None
    limit: int = Field(200, ge=1, le=MOST_CONVERSATIONS)

    @model_validator(mode="after")
    def _in_order(self) -> "DryRunInput":
        if self.since is not None and self.until is not None and self.since >= self.until:
            message = "`from` must be before `to`"
            raise ValueError(message)
        return self


def routes(file: RulesFile, inboxes: Inboxes, history: History, seconds: float, clock: Clock) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.get("/v1/rules")
    async def rules(_: Lead) -> dict[str, Any]:
        """Give the rules in force, in their order."""
        return {"items": [_json(rule) for rule in file.rules.rules]}

    @router.post("/v1/rules/dry-run")
    async def try_rules(_: Lead, body: DryRunInput | None = None) -> dict[str, Any]:
        """Answer what rules would have done with past Conversations, without any effect."""
        asked = body or DryRunInput()
        until = asked.until or clock()
        since = asked.since or _before(until)
        tried = file.rules if asked.rules is None else _given(asked.rules, inboxes)
        return await dry_run(history, tried, since, until, asked.limit, seconds)

    return router


def _before(until: datetime) -> datetime:
    try:
        return until - _BACK
    except OverflowError:
        return until


def _given(rules: list[Any], inboxes: Inboxes) -> Rules:
    try:
        return rules_of({"rules": rules}, inboxes)
    except BadRule as error:
        wrong = {"field": error.field, "message": error.what, **({"rule": error.rule} if error.rule else {})}
        raise Problem(422, "Unprocessable Content", str(error), errors=[wrong]) from None


def _json(rule: Rule) -> dict[str, Any]:
    return rule.model_dump(mode="json", by_alias=True, exclude_defaults=True)
