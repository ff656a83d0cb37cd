"""Logs: one line for each event, JSON for machines or text for people, with the names of the request that it is about.

Nobody forges a line: in JSON everything is an ASCII string with escapes; in text every character that could end a line
or move a cursor is escaped, and what follows a line break of ours is indented. Lengths are bounded. What a message may
hold is its writer's duty: no key, token, quote or secret. `tests/integration/test_logs.py` looks through all of them.

    {"at":"2026-03-01T12:30:15.250Z","level":"info","logger":"ambergate.access","message":"GET /certs 200",
     "trace_id":"...","request_id":"...","milliseconds":1.2}
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, TextIO

from ambergate.services.web.json_text import ascii_json_bytes
from ambergate.services.web.names import request_names

if TYPE_CHECKING:
    from collections.abc import Mapping

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]

MAX_MESSAGE: Final = 8192  # characters of a message, and of any other text in it
MAX_TRACEBACK: Final = 32 * 1024  # characters
# Libraries whose lines at INFO name addresses that they ask.
_QUIET: Final = ("httpx", "httpcore", "urllib3", "opentelemetry")
# C0 and C1 controls, the line and paragraph separators, and what turns the direction of text.
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_PLAIN: Final = re.compile(r"[!#-\[\]-~]+")  # printable ASCII without space, quote and backslash


def log_to(stream: TextIO | None = None, *, form: Format = "text", level: Level = "info") -> None:
    """Send everything that is logged in this process to a stream, and nowhere else. For the command line alone.

    Args:
        stream: standard error when not given.
        form: of the lines.
        level: the lowest that is written; libraries that tell addresses are kept at warnings.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    # Our lines tell none of these, and to find them out takes a third of a line's time (logging's "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def fields(**members: object) -> dict[str, Mapping[str, object]]:
    """Members of an event beside its message: `log.info("...", extra=fields(milliseconds=1.2))`."""
    return {"fields": members}


class JsonLines(logging.Formatter):
    """An event as one object of JSON in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """The event's line."""
        event = {**_event(record), **_members(record)}
        trouble = _trouble(record)
        if trouble:
            event["exception"] = trouble
        try:
            return ascii_json_bytes(event).decode()
        except (TypeError, ValueError):  # something of a library's, that JSON does not know
            return json.dumps(event, default=str)


class TextLines(logging.Formatter):
    """An event as one line of text, and an indented one for each of its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The event's line or lines."""
        event = _event(record)
        words = [event["at"], event["level"].upper(), event["logger"], _safe(event["message"])]
        words += [f"{name}={_word(value)}" for name, value in _members(record).items()]
        lines = [" ".join(words), *(f"    {_safe(line)}" for line in _trouble(record).splitlines())]
        return "\n".join(lines)


def _event(record: logging.LogRecord) -> dict[str, str]:
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return {
        "at": at.removesuffix("+00:00") + "Z",
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage()[:MAX_MESSAGE],
    }


def _members(record: logging.LogRecord) -> dict[str, object]:
    request_id, trace_id = request_names()
    given: Mapping[str, object] = getattr(record, "fields", {})
    named = {"trace_id": trace_id, "request_id": request_id, **given}
    return {
        name: value[:MAX_MESSAGE] if isinstance(value, str) else value
        for name, value in named.items()
        if value is not None
    }


def _trouble(record: logging.LogRecord) -> str:
    """The traceback: its end says what it was."""
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    return logging.Formatter().formatException(record.exc_info)[-MAX_TRACEBACK:]


def _safe(text: str) -> str:
    return _UNSAFE.sub(lambda found: ascii(found.group())[1:-1], text)


def _word(value: object) -> str:
    """A value in one word: as it is where it cannot be taken for two, or else as JSON."""
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
