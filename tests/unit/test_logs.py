"""Logs: one JSON object a line, no secret in it, libraries joined in at WARNING."""

import io
import json
import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from hamon.logs import REDACTED, LogFormat, LogLevel, Redactor, configure, get_logger


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return what was logged."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_log__bound_context__joins_event_level_and_utc_time() -> None:
    """A line can be read by a machine: who, what, when."""
    stream = io.StringIO()
    configure(stream=stream)

    with structlog.contextvars.bound_contextvars(epoch=7):
        get_logger().info("host_state_changed", host="compute-1")

    [line] = lines(stream)
    timestamp = line.pop("timestamp")
    expected = {
        "event": "host_state_changed",
        "host": "compute-1",
        "epoch": 7,
        "level": "info",
    }
    assert expected == line
    assert timestamp.endswith("Z")


def test_log__below_level__is_not_written() -> None:
    """The level holds."""
    stream = io.StringIO()
    configure(level=LogLevel.WARNING, stream=stream)

    get_logger().info("tick_finished")

    assert lines(stream) == []


def test_log__library_line__joins_at_warning_only() -> None:
    """Kazoo's lowest level prints session passwords; it never gets through, whatever is set."""
    stream = io.StringIO()
    configure(level=LogLevel.DEBUG, stream=stream)

    logging.getLogger("kazoo.client").info("Sending request")
    logging.getLogger("kazoo.client").warning("Connection dropped: %s", "timed out")

    [line] = lines(stream)
    expected = ("Connection dropped: timed out", "kazoo.client", "warning")
    assert expected == (line["event"], line["logger"], line["level"])


def test_log__secret__is_taken_out_everywhere() -> None:
    """By key name and by value: in text, nested, in an object's repr, in a traceback (S18)."""
    stream = io.StringIO()
    redactor = Redactor()
    redactor.add("hunter2")
    configure(stream=stream, redactor=redactor)
    log = get_logger()

    log.info("one", bmc_password="x1y2", detail="login hunter2 refused")
    log.info("two", options={"passwd": "x1y2", "list": ["hunter2"]}, error=ValueError("hunter2"))
    try:
        int("hunter2")
    except ValueError:
        log.exception("three")
    logging.getLogger("kazoo").warning("auth with hunter2 failed")

    assert "hunter2" not in stream.getvalue()
    assert "x1y2" not in stream.getvalue()
    assert len(lines(stream)) == 4
    assert lines(stream)[0]["detail"] == f"login {REDACTED} refused"


def test_log__path_of_a_secret__is_kept() -> None:
    """Where a secret lies is what an operator needs to mend it."""
    event = {"password_file": "/etc/hamon/bmc", "host": "a"}

    assert event == Redactor()(None, "info", dict(event))


def test_redactor__secret_within_a_secret__goes_as_a_whole() -> None:
    """No tail of the longer one is left behind."""
    redactor = Redactor()
    redactor.add("abcd")
    redactor.add("abcdefgh")

    assert redactor.clean("<abcdefgh> <abcd>") == f"<{REDACTED}> <{REDACTED}>"


def test_redactor__short_secret__is_refused() -> None:
    """Three letters turn up by chance and would blacken the log."""
    with pytest.raises(ValueError, match="at least 4"):
        Redactor().add("abc")


def test_log__console__escapes_control_characters() -> None:
    """What a device answers must not steer the operator's terminal."""
    stream = io.StringIO()
    configure(log_format=LogFormat.CONSOLE, stream=stream)

    get_logger().info("fence_refused", detail="\x1b[2Jgone\r\nforged")

    assert "fence_refused" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize(
    ("log_format", "is_json"), [(LogFormat.AUTO, False), (LogFormat.JSON, True)]
)
def test_log__terminal__gets_text_unless_json_is_asked_for(
    log_format: LogFormat, *, is_json: bool
) -> None:
    """A person at a terminal reads text; whoever asks for JSON gets it there too."""
    ours, theirs = os.openpty()
    with open(ours, "rb", buffering=0) as reader, open(theirs, "w") as terminal:  # noqa: PTH123 - descriptors
        configure(log_format=log_format, stream=terminal)
        get_logger().info("tick_finished")
        written = reader.read(4096)

    assert b"tick_finished" in written
    assert is_json == written.startswith(b"{")
