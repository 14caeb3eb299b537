"""Logs are JSON lines without what people wrote."""

import io
import json
import logging

import pytest
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from services.chassis.logging import bound, configure, log


@pytest.fixture
def stream() -> io.StringIO:
    before = logging.getLogger().handlers[:]
    made = io.StringIO()
    configure("INFO", made)
    yield made  # type: ignore[misc]
    logging.getLogger().handlers[:] = before


def test_a_line_is_json_and_carries_what_is_bound(stream: io.StringIO) -> None:
    with bound(correlation="c-1"):
        log.info("taken", channel="sms")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["correlation"], line["channel"], line["level"]) == (
        "taken",
        "c-1",
        "sms",
        "info",
    )


def test_an_exceptions_message_and_locals_never_reach_the_log(stream: io.StringIO) -> None:
    secret = "my diagnosis"  # a local
    try:
        raise ValueError(secret)
    except ValueError as error:
        log.error("failed", exc_info=error)
    assert "diagnosis" not in stream.getvalue()
    assert json.loads(stream.getvalue())["exception"][0]["exc_type"] == "ValueError"


def test_what_the_fast_encoder_refuses_is_logged_all_the_same(stream: io.StringIO) -> None:
    log.info("odd", surrogate="\ud800", number=2**70, thing=object)
    line = json.loads(stream.getvalue())
    assert (line["surrogate"], line["number"]) == ("\ud800", 2**70)


def test_levels_below_the_configured_one_are_left_out(stream: io.StringIO) -> None:
    log.debug("quiet")
    log.info("loud")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["loud"]


def test_what_is_wrong_in_a_form_that_anybody_may_send_is_no_line(stream: io.StringIO) -> None:
    with pytest.raises(FormParserError):
        MultipartParser(b"x").write(b"no form")
    logging.getLogger("another.library").warning("heard")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["heard"]
