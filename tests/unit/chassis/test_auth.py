"""Tokens of Agents and visitors."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey
from pydantic import SecretStr

from services.chassis.auth import Authenticator, Principal, Role, Visitor, VisitorTokens
from services.chassis.problems import Problem
from services.chassis.settings import Settings

NOW = datetime.now(UTC)
KEY = ECKey.generate_key("P-256", parameters={"kid": "one"})
OTHER = ECKey.generate_key("P-256", parameters={"kid": "one"})
SECRET = "a-secret-of-thirty-two-characters"


def token(key: ECKey | OctKey = KEY, algorithm: str = "ES256", **claims: Any) -> str:
    usual = {
        "sub": "ana",
        "roles": ["agent"],
        "iss": "parley",
        "aud": "parley",
        "exp": int((NOW + timedelta(hours=1)).timestamp()),
    }
    content = {name: value for name, value in {**usual, **claims}.items() if value is not None}
    return jwt.encode({"alg": algorithm, "kid": "one"}, content, key, algorithms=[algorithm])


@pytest.fixture
def authenticator(tmp_path: Path) -> Authenticator:
    folder = tmp_path / "a folder"
    folder.mkdir()
    keys = folder / "jwks.json"
    keys.write_text(json.dumps({"keys": [KEY.as_dict(private=False)]}))
    return Authenticator(Settings(jwks_url=keys.as_uri(), visitor_token_secret=SecretStr(SECRET)))


async def test_a_good_token_tells_who_it_is(authenticator: Authenticator) -> None:
    assert await authenticator.principal(token()) == Principal("ana", frozenset({Role.AGENT}))


@pytest.mark.parametrize(
    "bad",
    [
        token(exp=int((NOW - timedelta(hours=1)).timestamp())),
        token(exp=None),
        token(iss="someone"),
        token(aud="someone"),
        token(sub=None),
        token(OTHER),
        token(OctKey.import_key(SECRET.encode()), "HS256"),
        token()[:-3],
        "not.a.token",
        "ü",
        "",
    ],
)
async def test_a_bad_token_is_a_401(authenticator: Authenticator, bad: str) -> None:
    with pytest.raises(Problem) as refusal:
        await authenticator.principal(bad)
    assert refusal.value.status == 401


async def test_an_unsigned_token_is_a_401(authenticator: Authenticator) -> None:
    header, payload, _ = token().split(".")
    unsigned = "eyJhbGciOiJub25lIn0." + payload + "."
    for bad in (unsigned, f"{header}.{payload}."):
        with pytest.raises(Problem) as refusal:
            await authenticator.principal(bad)
        assert refusal.value.status == 401


async def test_unknown_roles_grant_nothing(authenticator: Authenticator) -> None:
    caller = await authenticator.principal(token(roles=["emperor"]))
    assert not any(caller.may(role) for role in Role)


def test_roles_include_the_lower_ones() -> None:
    admin = Principal("adam", frozenset({Role.ADMIN}))
    agent = Principal("ana", frozenset({Role.AGENT}))
    assert admin.may(Role.LEAD)
    assert admin.may(Role.AGENT)
    assert not agent.may(Role.LEAD)


async def test_without_a_key_set_it_is_a_503(tmp_path: Path) -> None:
    away = Authenticator(Settings(jwks_url=(tmp_path / "none.json").as_uri()))
    with pytest.raises(Problem) as refusal:
        await away.principal(token())
    assert refusal.value.status == 503


async def test_old_keys_serve_while_new_ones_are_being_read(
    authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await authenticator.principal(token())
    keys = authenticator._keys  # noqa: SLF001  (its age and its reading have no other handle)
    keys._read_at -= 1000  # noqa: SLF001

    async def never() -> str:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(keys, "_read", never)
    reading = asyncio.create_task(authenticator.principal(token()))
    await asyncio.sleep(0)
    assert (await asyncio.wait_for(authenticator.principal(token()), 5)).subject == "ana"
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


def test_a_visitor_token_names_its_visitor_and_no_other_token_passes_for_one() -> None:
    tokens = VisitorTokens(SECRET)
    assert tokens.read(tokens.issue("demo", "v1", NOW + timedelta(days=1))) == Visitor("demo", "v1")
    other_use = jwt.encode(
        {"alg": "HS256"}, {"sub": "v1", "account": "demo"}, OctKey.import_key(SECRET.encode())
    )
    for bad in (
        tokens.issue("demo", "v1", NOW - timedelta(seconds=1)),
        VisitorTokens("another-secret-of-many-characters").issue("demo", "v1", NOW + timedelta(days=1)),
        other_use,
        token(),
    ):
        with pytest.raises(Problem) as refusal:
            tokens.read(bad)
        assert refusal.value.status == 401
