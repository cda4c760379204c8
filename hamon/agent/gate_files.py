"""What the gate before nova-compute reads on its own host, and who writes it.

These files live on tmpfs and name their boot: nothing of an earlier one opens the gate.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from hamon.agent.permits import replace_file
from hamon.model.names import BootId

REWRITE_AFTER_S = 5.0
"""The mark is written again when it is this old, so that its age tells whether its writer lives."""

_READABLE = 0o644
"""The guests process runs as root, the gate does not. No file of these holds a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforced:
    """The guests process of this boot has read every grant, and the hook obeys them.

    ``guard_version``: of the guard it read before the grants. ``at_s``: CLOCK_BOOTTIME.
    """

    guard_version: int
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOverride:
    """Somebody of this host opened the gate of this boot by hand. ``at``: wall-clock time."""

    who: str
    at: str
    reason: str


class GateFiles(Protocol):
    """What the gate reads beside ZooKeeper."""

    def enforced(self) -> Enforced | None:
        """Tell how far the guests process of this boot has come; None: it has said nothing."""
        ...

    def override(self) -> GateOverride | None:
        """Tell who opened the gate of this boot by hand; None: nobody."""
        ...

    def is_given_up(self) -> bool:
        """Say whether this very boot is known to have been shut out."""
        ...

    def is_marked_shadow(self) -> bool:
        """Say whether the guests process of this boot has said that shadow mode counts here."""
        ...


class FileGateFiles:
    """:class:`GateFiles` in ``run_dir``, and their writers."""

    def __init__(self, run_dir: Path, boot_id: BootId) -> None:
        self._boot_id = boot_id
        self._enforced_file = run_dir / "enforced.json"
        self._override_file = run_dir / "gate-override.json"
        self._given_up_file = run_dir / "given-up"
        self._shadow_file = run_dir / "shadow"
        self._written: Enforced | None = None

    def enforced(self) -> Enforced | None:
        """Tell how far the guests process of this boot has come; None: it has said nothing."""
        match self._read(self._enforced_file):
            case {"guard_version": int(version), "at_s": float(at_s)}:
                return Enforced(guard_version=version, at_s=at_s)
            case _:
                return None

    def override(self) -> GateOverride | None:
        """Tell who opened the gate of this boot by hand; None: nobody."""
        match self._read(self._override_file):
            case {"who": str(who), "at": str(at), "reason": str(reason)}:
                return GateOverride(who=who, at=at, reason=reason)
            case _:
                return None

    def is_given_up(self) -> bool:
        """Say whether this very boot is known to have been shut out."""
        try:
            return self._given_up_file.read_text() == self._boot_id
        except FileNotFoundError:
            return False

    def is_marked_shadow(self) -> bool:
        """Say whether the guests process of this boot has said that shadow mode counts here."""
        try:
            return self._shadow_file.read_text() == self._boot_id
        except FileNotFoundError:
            return False

    def mark_shadow(self, *, is_shadow: bool) -> None:
        """Write down whether shadow mode counts in this boot. Idempotent.

        Raises:
            OSError: it could not be written.
        """
        if not is_shadow:
            self._shadow_file.unlink(missing_ok=True)
        elif not self.is_marked_shadow():
            replace_file(self._shadow_file, self._boot_id, _READABLE)

    def note_given_up(self) -> None:
        """Write down that this very boot was shut out. Idempotent.

        Raises:
            OSError: it could not be written.
        """
        if not self.is_given_up():
            replace_file(self._given_up_file, self._boot_id, _READABLE)

    def note_enforced(self, enforced: Enforced) -> None:
        """Write down how far the guests process has come; young news of the same is kept.

        Raises:
            OSError: it could not be written.
        """
        written = self._written
        if (
            written is not None
            and written.guard_version == enforced.guard_version
            and enforced.at_s - written.at_s < REWRITE_AFTER_S
        ):
            return
        self._write(self._enforced_file, asdict(enforced))
        self._written = enforced

    def leave_override(self, override: GateOverride) -> None:
        """Open the gate of this boot by hand. Idempotent.

        Raises:
            OSError: it could not be written.
        """
        self._write(self._override_file, asdict(override))

    def _write(self, path: Path, facts: dict[str, object]) -> None:
        text = json.dumps({"boot_id": self._boot_id, **facts})
        replace_file(path, text, _READABLE)

    def _read(self, path: Path) -> Mapping[str, object] | None:
        """Read what was written in this boot; what is missing, torn or older counts as nothing."""
        try:
            content = json.loads(path.read_text())
        except (OSError, ValueError):
            return None
        is_own = isinstance(content, Mapping) and content.get("boot_id") == self._boot_id
        return content if is_own else None
