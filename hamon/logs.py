"""Logging: structlog, one line an event, JSON unless a person watches.

Rules:

1. An event's name is a constant in ``snake_case``; what varies travels beside it as keys.
2. No secret gets out: every line passes the :class:`Redactor` last, which knows key names that hold
   secrets and the secret values that were read (``hamon.settings.secrets`` tells it).
3. What libraries log through ``logging`` (kazoo, asyncio) joins at WARNING and above, never below:
   kazoo's lowest level prints session passwords.

Levels: WARNING is degraded, ERROR needs a person.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

REDACTED = "[redacted]"

_SECRET_WORDS = frozenset(
    {"credential", "credentials", "passphrase", "passwd", "password", "secret", "secrets", "token"}
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SECRET_CHARACTERS_MIN = 4


class LogFormat(StrEnum):
    """How a line looks: ``auto`` is console on a terminal and JSON everywhere else."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """What is written at least."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Redactor:
    """Takes secrets out of log events, by the names of keys and by known values."""

    def __init__(self) -> None:
        # By their first characters: a line costs the same with one secret and with ten thousand.
        self._by_start: dict[str, frozenset[str]] = {}

    def add(self, value: str) -> None:
        """Have ``value`` replaced wherever it turns up from now on. Idempotent.

        Args:
            value: the secret, at least 4 characters: anything shorter turns up by chance and would
                blacken the log instead.

        Raises:
            ValueError: it is too short.
        """
        if len(value) < _SECRET_CHARACTERS_MIN:
            raise ValueError(f"a secret needs at least {_SECRET_CHARACTERS_MIN} characters")
        start = value[:_SECRET_CHARACTERS_MIN]
        self._by_start[start] = self._by_start.get(start, frozenset()) | {value}

    def clean(self, text: str) -> str:
        """Return ``text`` without any known secret; also for captured output of child processes."""
        width = _SECRET_CHARACTERS_MIN
        starts = {text[at : at + width] for at in range(len(text) - width + 1)}
        suspects = {
            value for start in starts for value in self._by_start.get(start, ()) if value in text
        }
        # The longest first, so that a secret that contains another one goes as a whole.
        for value in sorted(suspects, key=len, reverse=True):
            text = text.replace(value, REDACTED)
        return text

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Clean one event (structlog's processor interface)."""
        return {key: self._clean_value(key, value) for key, value in event.items()}

    def _clean_value(self, key: str, value: object) -> object:
        if _names_a_secret(key):
            return REDACTED
        match value:
            case None | bool() | int() | float():
                return value
            case Mapping():
                return {str(k): self._clean_value(str(k), v) for k, v in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._clean_value("", item) for item in value]
            case str():
                return self.clean(value)
            case _:
                # Whatever a renderer would do with it, it shall not see more than this.
                return self.clean(repr(value))


REDACTOR = Redactor()
"""The process's own redactor. One for all, because a secret is secret in every line."""


def configure(
    level: LogLevel = LogLevel.INFO,
    log_format: LogFormat = LogFormat.AUTO,
    stream: TextIO | None = None,
    redactor: Redactor = REDACTOR,
) -> None:
    """Set up logging for this process; call it once, before the first line.

    Args:
        level: least level of hamon's own lines; libraries' lines join at WARNING or above.
        log_format: see :class:`LogFormat`.
        stream: where lines go, standard output (systemd's journal) when None.
        redactor: what takes secrets out.
    """
    stream = sys.stdout if stream is None else stream
    threshold = logging.getLevelNamesMapping()[level.upper()]
    is_console = log_format is LogFormat.CONSOLE or (
        log_format is LogFormat.AUTO and stream.isatty()
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    last: list[Processor] = [redactor, *_renderers(is_console=is_console)]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    _route_libraries(stream, max(threshold, logging.WARNING), shared, last)


def get_logger() -> FilteringBoundLogger:
    """Return a logger; what is bound with ``structlog.contextvars`` joins each of its lines."""
    return cast("FilteringBoundLogger", structlog.get_logger())


def _route_libraries(
    stream: TextIO, threshold: int, shared: list[Processor], last: list[Processor]
) -> None:
    """Write what arrives through ``logging`` in the same form to the same place."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(threshold)


def _renderers(*, is_console: bool) -> list[Processor]:
    if not is_console:
        return [structlog.processors.JSONRenderer(sort_keys=True)]
    return [_escape_control_characters, structlog.dev.ConsoleRenderer(colors=False)]


def _escape_control_characters(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keep what a device or a host answered from steering the terminal (JSON escapes by itself)."""
    return {
        key: _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", value)
        if isinstance(value, str) and key != "exception"
        else value
        for key, value in event.items()
    }


def _names_a_secret(key: str) -> bool:
    """Say whether a key holds a secret by its name; the path of a secret's file is none."""
    words = key.lower().replace("-", "_").split("_")
    return words[-1] != "file" and not _SECRET_WORDS.isdisjoint(words)
