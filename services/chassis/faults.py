"""Which errors are faults of ours (wait and try again) and which are the record's own."""

from aiokafka.errors import KafkaError
from bson.errors import BSONError
from pymongo.errors import BulkWriteError, DocumentTooLarge, OperationFailure, PyMongoError

_NEVER = frozenset({2, 9, 14, 52, 57, 67, 85, 86, 121, 10334, 17280, 17419, 17420})
"""MongoDB codes that no waiting mends: a document that can never be stored (BadValue, FailedToParse,
TypeMismatch, DollarPrefixedFieldName, DottedFieldName, DocumentValidationFailure, too large), an index
that cannot be (CannotCreateIndex, IndexOptionsConflict, IndexKeySpecsConflict). The numbers stand in
MongoDB's error_codes.yml."""


class BrokerUnavailable(Exception):  # noqa: N818  (a state of the broker, raised)
    """Kafka did not acknowledge in time. What was sent may still arrive; its ids make that harmless."""


class RecordTooLarge(Exception):  # noqa: N818  (a fate, not a fault)
    """The record is larger than any broker of ours takes."""


DEPENDENCY_ERRORS = (BrokerUnavailable, PyMongoError, KafkaError, OSError, TimeoutError)
"""What a database, a broker or the network may raise."""


def is_transient(error: BaseException) -> bool:
    """Return whether the same work may succeed later without any change to it."""
    if isinstance(error, BulkWriteError):
        codes = {item.get("code") for item in error.details.get("writeErrors", ())}
        return not codes & _NEVER
    if isinstance(error, OperationFailure):
        return error.code not in _NEVER
    if isinstance(error, DocumentTooLarge | BSONError):
        return False
    return isinstance(error, DEPENDENCY_ERRORS)
