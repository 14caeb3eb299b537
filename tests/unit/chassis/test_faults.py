"""Which errors are waited out, and which are the record's own."""

import pytest
from aiokafka.errors import KafkaConnectionError
from bson.errors import InvalidDocument
from pymongo.errors import AutoReconnect, BulkWriteError, DocumentTooLarge, OperationFailure

from services.chassis.faults import BrokerUnavailable, is_transient


@pytest.mark.parametrize(
    "error",
    [
        AutoReconnect("gone"),
        OperationFailure("not allowed yet", 13),
        BulkWriteError({"writeErrors": [{"code": 112}]}),
        BrokerUnavailable("away"),
        KafkaConnectionError("away"),
        ConnectionResetError(),
        TimeoutError(),
    ],
)
def test_faults_of_ours_are_tried_again(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        OperationFailure("too large", 17419),
        OperationFailure("an index of that name has other keys", 86),
        BulkWriteError({"writeErrors": [{"code": 2}]}),
        DocumentTooLarge("large"),
        InvalidDocument("cannot encode"),
        KeyError("x"),
        ValueError("x"),
    ],
)
def test_what_no_waiting_mends_belongs_to_the_record(error: Exception) -> None:
    assert not is_transient(error)
