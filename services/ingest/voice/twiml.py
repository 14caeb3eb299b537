"""TwiML, Twilio's XML for what a caller hears: https://www.twilio.com/docs/voice/twiml.

Built as a tree and written by the standard library, so that no value can become markup.
"""

import re
from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element, tostring

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML 1.0 document may hold, not even escaped."""
_HEADER = '<?xml version="1.0" encoding="UTF-8"?>'
NOTHING = "<Response/>"


def document(verbs: Sequence[Element]) -> str:
    """Return the answer that holds `verbs`."""
    response = Element("Response")
    response.extend(verbs)
    return _HEADER + tostring(response, encoding="unicode")


def say(text: str, language: str, voice: str | None = None) -> Element:
    """Say `text`."""
    return _verb("Say", {"language": language, "voice": voice}, text)


def gather(prompts: Sequence[Element], action: str, attributes: Mapping[str, str | None]) -> Element:
    """Wait for digits or speech while `prompts` are said; silence is posted to `action` too."""
    asked = _verb("Gather", {"action": action, "method": "POST", "actionOnEmptyResult": "true", **attributes})
    asked.extend(prompts)
    return asked


def record(action: str, attributes: Mapping[str, str | None]) -> Element:
    """Record a message after a beep."""
    return _verb("Record", {"action": action, "method": "POST", "playBeep": "true", **attributes})


def enqueue(queue: str, action: str) -> Element:
    """Let the caller wait in `queue`."""
    return _verb("Enqueue", {"action": action, "method": "POST"}, queue)


def dial(number: str, action: str) -> Element:
    """Connect the caller with `number`."""
    called = _verb("Dial", {"action": action, "method": "POST"})
    called.append(_verb("Number", {}, number))
    return called


def hang_up() -> Element:
    """End the call."""
    return Element("Hangup")


def _verb(name: str, attributes: Mapping[str, str | None], text: str | None = None) -> Element:
    made = Element(name, {key: _clean(value) for key, value in attributes.items() if value is not None})
    if text is not None:
        made.text = _clean(text)
    return made


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
