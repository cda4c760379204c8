"""A TOML file and where things stand in it, so that every complaint names file, line and key."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from hamon.errors import ConfigError

Key = tuple[str, ...]

M = TypeVar("M", bound=BaseModel)

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"\s*\[\s*({_DOTTED})\s*\]")
_ASSIGNMENT = re.compile(rf"\s*({_DOTTED})\s*=")
_UNKNOWN_KEY = frozenset({"extra_forbidden", "unexpected_keyword_argument"})
_MISSING = frozenset({"missing", "missing_argument"})


class Document:
    """A TOML file as read."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            ConfigError: it cannot be read, or is no TOML (with line and column).
        """
        self.path = path
        try:
            text = path.read_text(encoding="utf-8")
            self.data = tomllib.loads(text)
        except OSError as error:
            raise ConfigError(str(path), "", f"cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(str(path), "", f"byte {error.start} is not UTF-8 text") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(str(path), "", f"not valid TOML: {error}") from error
        self._places = _places(text)

    def error(self, key: Key, why: str, *also: Key) -> ConfigError:
        """Build the complaint about a key.

        Args:
            key: the key as told to the operator.
            why: what is wrong and what to do.
            also: where else its value may stand, the most exact first (a pattern, defaults).
        """
        line = self._line_of((key, *also))
        place = str(self.path) if line is None else f"{self.path}:{line}"
        return ConfigError(place, dotted(key), why)

    def _line_of(self, keys: tuple[Key, ...]) -> int | None:
        """Find the line of the first key that stands there, else of the table nearest to one."""
        lines = {place: line for line, place in reversed(self._places)}
        for cut in range(max(map(len, keys))):
            for key in keys:
                shortened = key[: len(key) - cut]
                if shortened and shortened in lines:
                    return lines[shortened]
        return None


def validated(
    document: Document, model: type[M], data: Mapping[str, object], at: Key, *also: Key
) -> tuple[M | None, tuple[ConfigError, ...]]:
    """Check a table against its schema; report everything that is wrong with it.

    Args:
        document: where the table stands.
        model: its schema.
        data: the table.
        at: its key, empty for the whole file.
        also: see :meth:`Document.error`.

    Returns:
        The value and no errors, or None and all the errors.
    """
    try:
        # Through JSON, because pydantic's strict mode takes tables and names of choices only there.
        return model.model_validate_json(json.dumps(data, default=str)), ()
    except ValidationError as error:
        known = known_keys(model)
        return None, tuple(
            document.error(
                (*at, *where),
                _explained(problem["type"], problem["msg"], problem["input"], where, known),
                *((*place, *where) for place in also),
            )
            for problem in error.errors(include_url=False)
            for where in [tuple(str(part) for part in problem["loc"])]
        )


def known_keys(model: type[BaseModel]) -> tuple[Key, ...]:
    """List every key of a schema that is not itself a table of fixed keys."""
    schema = model.model_json_schema()
    return tuple(_keys_below(schema, schema.get("$defs", {}), ()))


def dotted(key: Iterable[str]) -> str:
    """Write a key as TOML does, with quotes where they are needed."""
    return ".".join(part if re.fullmatch(r"[\w-]+", part) else f'"{part}"' for part in key)


def _keys_below(table: Mapping[str, Any], definitions: Mapping[str, Any], at: Key) -> Iterator[Key]:
    for name, description in table["properties"].items():
        # A table that may be absent is a choice of it and null.
        choices = (description, *description.get("anyOf", ()))
        named = (choice.get("$ref", "").removeprefix("#/$defs/") for choice in choices)
        target: Mapping[str, Any] = next(
            (definitions[name] for name in named if name in definitions), {}
        )
        if "properties" in target:
            yield from _keys_below(target, definitions, (*at, name))
        else:
            yield (*at, name)


def _explained(kind: str, message: str, value: object, where: Key, known: tuple[Key, ...]) -> str:
    if kind in _UNKNOWN_KEY:
        # The value is not shown: a misspelt password key holds a password.
        return f"no such key{_suggestion(where, known)}"
    if kind in _MISSING:
        return "is missing and has no default"
    told = message[0].lower() + message[1:].removeprefix("alue error, ")
    if "password" in where[-1] or "secret" in where[-1]:
        return told
    return f"{json.dumps(value, default=str)}: {told}"


def _suggestion(where: Key, known: tuple[Key, ...]) -> str:
    """Name the known key that was most likely meant, the same table's first."""
    tables = {key[:length] for key in known for length in range(1, len(key) + 1)}
    siblings = {key[-1]: key for key in tables if key[:-1] == where[:-1]}
    if near := get_close_matches(where[-1], siblings, n=1):
        return f"; did you mean {dotted(siblings[near[0]])}?"
    elsewhere = {key[-1]: key for key in sorted(tables)}
    if near := get_close_matches(where[-1], elsewhere, n=1, cutoff=0.8):
        return f"; did you mean {dotted(elsewhere[near[0]])}?"
    return f"; here may stand: {', '.join(sorted(siblings))}" if siblings else ""


def _places(text: str) -> tuple[tuple[int, Key], ...]:
    """List line and key of every table header and assignment, in the order of the file."""
    places: list[tuple[int, Key]] = []
    table: Key = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _parts(header[1])
            places.append((number, table))
        elif assignment := _ASSIGNMENT.match(line):
            places.append((number, (*table, *_parts(assignment[1]))))
    return tuple(places)


def _parts(text: str) -> Key:
    return tuple(part.strip("\"'") for part in re.findall(_PART, text))
