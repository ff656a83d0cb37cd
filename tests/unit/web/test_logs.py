"""A line of the log is one event, whatever is in it: nobody forges a second one, in either form."""

from __future__ import annotations

import io
import json
import logging
import threading
from contextlib import contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambergate.services.web import logs
from ambergate.services.web.logs import JsonLines, TextLines, fields, log_to
from ambergate.services.web.names import name_request

if TYPE_CHECKING:
    from collections.abc import Iterator


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("ambergate.tests", logging.INFO, __file__, 1, message, args, None)
    made.__dict__.update(extra)
    return made


def failed(message: str, error: str) -> logging.LogRecord:
    made = record(message)
    try:
        fail(error)
    except RuntimeError as exc:
        made.exc_info = (RuntimeError, exc, exc.__traceback__)
    return made


def fail(error: str) -> None:
    raise RuntimeError(error)


def told(message: str, *args: object, **extra: object) -> dict[str, object]:
    line = JsonLines().format(record(message, *args, **extra))
    assert line.isascii()
    assert "\n" not in line
    return dict(json.loads(line))


@contextmanager
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    quiet = {name: logging.getLogger(name).level for name in logs._QUIET}
    try:
        yield root
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        for name, old in quiet.items():
            logging.getLogger(name).setLevel(old)


def test_an_event_in_json() -> None:
    event = told("%s is %d", "it", 3, **fields(milliseconds=1.5, code=None))
    assert str(event.pop("at")).endswith("Z")
    assert event == {"level": "info", "logger": "ambergate.tests", "message": "it is 3", "milliseconds": 1.5}


def test_an_event_in_text() -> None:
    line = TextLines().format(record("%s is %d", "it", 3, **fields(milliseconds=1.5, path="a b", code="c-d")))
    assert line.partition(" ")[2] == 'INFO ambergate.tests it is 3 milliseconds=1.5 path="a b" code=c-d'


def test_it_tells_which_request_it_is_about_in_threads_too() -> None:
    found = []

    def serve() -> None:
        name_request("mine", "ours")
        found.append(told("here"))
        thread = threading.Thread(target=copy_context().run, args=(lambda: found.append(told("there")),))
        thread.start()
        thread.join()

    copy_context().run(serve)
    assert [(event["trace_id"], event["request_id"]) for event in found] == [("ours", "mine")] * 2
    assert "trace_id" not in told("elsewhere")


@given(st.text(), st.text())
def test_whatever_is_told_it_is_one_line(message: str, value: str) -> None:
    event = told("%s", message, **fields(value=value))
    assert (event["message"], event["value"]) == (message[: logs.MAX_MESSAGE], value[: logs.MAX_MESSAGE])
    line = TextLines().format(record("%s", message, **fields(value=value)))
    assert line.splitlines() == [line]
    assert line.encode()
    assert not set(line) & set("\r\n\x1b\x9b\u2028\u202e")


def test_a_traceback_cannot_forge_an_event() -> None:
    forged = "x\n2026-01-01T00:00:00.000Z INFO ambergate.audit all is well\r\x1b[2K"
    made = failed("it failed", forged)
    first, *more = TextLines().format(made).split("\n")
    assert first.endswith("it failed")
    assert len(more) >= 4
    assert all(line.startswith("    ") for line in more)
    assert "\x1b" not in "".join(more)
    event = json.loads(JsonLines().format(made))
    assert forged in event["exception"]


def test_lengths_are_bounded() -> None:
    line = JsonLines().format(record("x" * 1_000_000, **fields(value="y" * 1_000_000)))
    assert len(line) < 2 * logs.MAX_MESSAGE + 1000
    assert len(JsonLines().format(failed("long", "z" * 1_000_000))) < logs.MAX_TRACEBACK + 1000


@pytest.mark.parametrize(("level", "written"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_levels(level: logs.Level, written: int) -> None:
    stream = io.StringIO()
    with root_logger():
        log_to(stream, form="json", level=level)
        for name in ("debug", "info", "warning", "error"):
            getattr(logging.getLogger("ambergate.tests"), name)("this")
            getattr(logging.getLogger("httpx"), name)("GET https://10.0.0.1/") if name in {"debug", "info"} else None
    assert [json.loads(line)["logger"] for line in stream.getvalue().splitlines()] == ["ambergate.tests"] * written


def test_setting_it_up_again_writes_once() -> None:
    old, new = io.StringIO(), io.StringIO()
    with root_logger():
        log_to(old)
        log_to(new)
        logging.getLogger("ambergate.tests").warning("once")
    assert (old.getvalue(), new.getvalue().count("once")) == ("", 1)
