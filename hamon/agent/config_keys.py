"""The keys of ``agent.toml`` by their dotted names: what each holds, and that none is unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hamon.errors import ConfigError


class ConfigKeys:
    """The content of the file, and which of its keys were asked for.

    Each question raises ConfigError when the value is missing or is not what the key takes.

    Args:
        path: of the file, for complaints.
        content: as TOML has it.
    """

    def __init__(self, path: str, content: dict[str, Any]) -> None:
        self._path = path
        self._values = dict(_flatten(content))
        self._known: set[str] = set()

    def error(self, key: str, why: str) -> ConfigError:
        """Build the complaint about a key."""
        return ConfigError(self._path, key, why)

    def text(self, key: str, default: str | None = None, *, may_be_empty: bool = False) -> str:
        """Return a text; without a default it must be there."""
        value = self._take(key, default)
        if not isinstance(value, str) or not (value or may_be_empty):
            raise self.error(key, f"{value!r} is no text")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts; empty when it is not there."""
        value = self._take(key, [])
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            raise self.error(key, f"{value!r} is no list of texts")
        return tuple(value)

    def number(
        self, key: str, default: float, *, at_least: float, at_most: float = 3600.0
    ) -> float:
        """Return a number within its bounds."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(key, f"{value!r} is no number")
        if not at_least <= value <= at_most:
            raise self.error(key, f"{value} is not between {at_least} and {at_most}")
        return float(value)

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise self.error(key, f"{value!r} is neither true nor false")
        return value

    def path(self, key: str, default: str) -> Path:
        """Return an absolute path."""
        path = Path(self.text(key, default))
        if not path.is_absolute() or ".." in path.parts:
            raise self.error(key, f"{path} is no absolute path")
        return path

    def tables(self, key: str) -> list[dict[str, str]]:
        """Return an array of tables of texts; empty when it is not there."""
        value = self._take(key, [])
        tables = value if isinstance(value, list) else [value]
        for table in tables:
            if not isinstance(table, dict) or not all(isinstance(v, str) for v in table.values()):
                raise self.error(key, f"{table!r} is no table of texts")
        return tables

    def table(self, key: str) -> dict[str, str]:
        """Return one table of texts by name; empty when it is not there."""
        prefix = f"{key}."
        names = [name for name in self._values if name.startswith(prefix)]
        return {name.removeprefix(prefix): self.text(name) for name in names}

    def refuse_unknown(self) -> None:
        """Complain about a key that nobody asked for."""
        if unknown := sorted(self._values.keys() - self._known):
            raise self.error(unknown[0], "there is no such key")

    def _take(self, key: str, default: object) -> Any:  # noqa: ANN401 - whatever TOML holds
        self._known.add(key)
        value = self._values.get(key, default)
        if value is None:
            raise self.error(key, "is missing")
        return value


def _flatten(content: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in content.items():
        if isinstance(value, dict):
            pairs.extend(_flatten(value, f"{prefix}{key}."))
        else:
            pairs.append((f"{prefix}{key}", value))
    return pairs
