"""Forms in `multipart/form-data` (RFC 7578) as bytes: a mail's fields each have a charset of their own."""

from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

MOST_PARTS = 2_000
_HEADER_BYTES = 16_384


class BadItem(ValueError):  # noqa: N818  (the item is bad, nothing else failed)
    """One item cannot be read; its message is the reason, and never quotes the input."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form. `filename` is None for a field that is no file."""

    name: str
    value: bytes
    filename: str | None = None
    content_type: str | None = None


def read_multipart(content_type: str, body: bytes) -> list[Field]:
    """Return the fields in their order. Raises BadItem for what is no such form, or has too many parts."""
    _, options = parse_options_header(content_type.encode("latin-1", "replace"))
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise BadItem("a multipart form without a boundary")
    collector = _Collector()
    try:
        parser = MultipartParser(boundary, collector.callbacks())  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except BadItem:
        raise
    except (FormParserError, ValueError, AssertionError):
        if not collector.ended:
            raise BadItem("not a multipart form") from None
    if not collector.ended:
        raise BadItem("a multipart form that is cut off")
    return collector.fields


@dataclass
class _Collector:
    fields: list[Field] = field(default_factory=list)
    ended: bool = False
    _headers: dict[str, bytes] = field(default_factory=dict)
    _name: list[bytes] = field(default_factory=list)
    _value: list[bytes] = field(default_factory=list)
    _data: list[bytes] = field(default_factory=list)

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._name.append(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.append(data[start:end]),
            "on_header_end": self._header,
            "on_part_data": lambda data, start, end: self._data.append(data[start:end]),
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        if len(self.fields) >= MOST_PARTS:
            raise BadItem("a multipart form of too many parts")
        self._headers, self._data = {}, []

    def _header(self) -> None:
        name = b"".join(self._name).decode("latin-1").lower()
        value = b"".join(self._value)
        if len(value) <= _HEADER_BYTES:
            self._headers.setdefault(name, value)
        self._name, self._value = [], []

    def _end(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", b""))
        filename = options.get(b"filename")
        kind = self._headers.get("content-type")
        self.fields.append(
            Field(
                _text(options.get(b"name", b"")),
                b"".join(self._data),
                _text(filename) if filename is not None else None,
                kind.decode("latin-1") if kind is not None else None,
            )
        )

    def _finish(self) -> None:
        self.ended = True


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
