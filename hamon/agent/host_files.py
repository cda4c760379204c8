"""What the agent remembers on its own host, beside the permits: marks of this boot, generations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from hamon.agent.gate_files import Enforced, FileGateFiles, GateOverride
from hamon.agent.permits import HostFolders, guests_in, remove_file, replace_file
from hamon.model.host import Leaving
from hamon.model.names import BootId, GuestId


class HostFiles(Protocol):
    """Small facts that outlive the process, some of them the boot."""

    def leaving(self) -> Leaving | None:
        """Tell whether this host has announced that it goes, and why."""
        ...

    def set_in_service(self, *, is_in_service: bool) -> None:
        """Say whether live migrations may arrive in this boot. Idempotent."""
        ...

    def set_permits_may_come(self, *, may_come: bool) -> None:
        """Say whether the hook is to wait a little for a permit that is missing. Idempotent."""
        ...

    def is_shadow(self) -> bool:
        """Tell whether this host went by shadow mode when it was last told, in any boot."""
        ...

    def set_shadow(self, *, is_shadow: bool) -> None:
        """Write down, durably and for the gate of this boot, whether it does. Idempotent."""
        ...

    def generation_seen(self, guest: GuestId) -> int:
        """Tell the highest generation of a guest that ZooKeeper ever showed here; 0: none."""
        ...

    def generation_held(self, guest: GuestId) -> int:
        """Tell the generation under which this host last had the guest; 0: not known."""
        ...

    def remember_seen(self, guest: GuestId, generation: int) -> None:
        """Write down a generation that ZooKeeper showed, durably. Idempotent; never goes down."""
        ...

    def remember_held(self, guest: GuestId, generation: int) -> None:
        """Write down that this host has the guest under ``generation``, durably. Idempotent."""
        ...

    def leftovers(self) -> frozenset[GuestId]:
        """Tell which definitions were made here for a rebuild that is not settled."""
        ...

    def set_leftover(self, guest: GuestId, *, is_leftover: bool) -> None:
        """Write down that a definition was made for a rebuild, or that it is settled. Durable."""
        ...

    def forgotten(self) -> frozenset[GuestId]:
        """Tell which guests an operator of this host wants forgotten."""
        ...

    def answer_forgotten(self, guest: GuestId) -> None:
        """Note that a guest was forgotten, or will not be. Idempotent."""
        ...

    def nova_guests(self) -> frozenset[GuestId]:
        """Tell which guests of this host were Nova's when libvirt last told."""
        ...

    def set_nova_guests(self, guests: frozenset[GuestId]) -> None:
        """Write down which guests are Nova's, durably. Idempotent."""
        ...

    def denied(self) -> frozenset[GuestId]:
        """Tell which guests of Nova's were denied here when ZooKeeper last told."""
        ...

    def set_denied(self, guests: frozenset[GuestId]) -> None:
        """Write down which guests are denied, durably. Idempotent."""
        ...

    def note_given_up(self) -> None:
        """Write down that this very boot was shut out. Idempotent."""
        ...

    def is_given_up(self) -> bool:
        """Say whether this very boot is known to have been shut out."""
        ...

    def note_enforced(self, guard_version: int, now_s: float) -> None:
        """Tell the gate that the hook obeys grants read after this version of the guard."""
        ...

    def override(self) -> GateOverride | None:
        """Tell who opened the gate of this boot by hand; None: nobody."""
        ...


class FileHostFiles:
    """:class:`HostFiles` in the folders of docs/protocol.md."""

    def __init__(self, folders: HostFolders, boot_id: BootId) -> None:
        folders.make()
        self._boot_id = boot_id
        self._leaving = folders.run_dir / "leaving"
        self._in_service = folders.run_dir / "in-service"
        self._permits_may_come = folders.run_dir / "permits-may-come"
        self._forgotten = folders.run_dir / "forget"
        self._highest_file = folders.state_dir / "highest.json"
        self._held_file = folders.state_dir / "held.json"
        self._leftovers_file = folders.state_dir / "leftovers.json"
        self._nova_guests_file = folders.state_dir / "nova-guests.json"
        self._denied_file = folders.state_dir / "denied.json"
        self._shadow_file = folders.state_dir / "shadow"
        self._gate = FileGateFiles(folders.run_dir, boot_id)
        self._highest = _read_numbers(self._highest_file)
        self._held = _read_numbers(self._held_file)
        self._leftovers = frozenset(_read_numbers(self._leftovers_file))
        self._nova_guests = frozenset(_read_numbers(self._nova_guests_file))
        self._denied = frozenset(_read_numbers(self._denied_file))

    def leaving(self) -> Leaving | None:
        """Tell whether this host has announced that it goes, and why."""
        return read_leaving(self._leaving)

    def set_in_service(self, *, is_in_service: bool) -> None:
        """Say whether live migrations may arrive in this boot. Idempotent."""
        self._mark(self._in_service, is_so=is_in_service)

    def set_permits_may_come(self, *, may_come: bool) -> None:
        """Say whether the hook is to wait a little for a permit that is missing. Idempotent."""
        self._mark(self._permits_may_come, is_so=may_come)

    def is_shadow(self) -> bool:
        """Tell whether this host went by shadow mode when it was last told, in any boot."""
        return self._shadow_file.exists()

    def set_shadow(self, *, is_shadow: bool) -> None:
        """Write down, durably and for the gate of this boot, whether it does. Idempotent."""
        if is_shadow and not self._shadow_file.exists():
            replace_file(self._shadow_file, "")
        self._gate.mark_shadow(is_shadow=is_shadow)
        if not is_shadow and self._shadow_file.exists():
            remove_file(self._shadow_file)

    def generation_seen(self, guest: GuestId) -> int:
        """Tell the highest generation of a guest that ZooKeeper ever showed here; 0: none."""
        return self._highest.get(guest, 0)

    def generation_held(self, guest: GuestId) -> int:
        """Tell the generation under which this host last had the guest; 0: not known."""
        return self._held.get(guest, 0)

    def remember_seen(self, guest: GuestId, generation: int) -> None:
        """Write down a generation that ZooKeeper showed, durably. Idempotent; never goes down."""
        if generation > self.generation_seen(guest):
            self._highest[guest] = generation
            replace_file(self._highest_file, json.dumps(self._highest))

    def remember_held(self, guest: GuestId, generation: int) -> None:
        """Write down that this host has the guest under ``generation``, durably. Idempotent."""
        if generation != self.generation_held(guest):
            self._held[guest] = generation
            replace_file(self._held_file, json.dumps(self._held))

    def leftovers(self) -> frozenset[GuestId]:
        """Tell which definitions were made here for a rebuild that is not settled."""
        return self._leftovers

    def set_leftover(self, guest: GuestId, *, is_leftover: bool) -> None:
        """Write down that a definition was made for a rebuild, or that it is settled. Durable."""
        changed = self._leftovers | {guest} if is_leftover else self._leftovers - {guest}
        if changed != self._leftovers:
            _write_guests(self._leftovers_file, changed)
            self._leftovers = changed

    def forgotten(self) -> frozenset[GuestId]:
        """Tell which guests an operator of this host wants forgotten."""
        return guests_in(self._forgotten)

    def answer_forgotten(self, guest: GuestId) -> None:
        """Note that a guest was forgotten, or will not be. Idempotent."""
        (self._forgotten / guest).unlink(missing_ok=True)

    def nova_guests(self) -> frozenset[GuestId]:
        """Tell which guests of this host were Nova's when libvirt last told."""
        return self._nova_guests

    def set_nova_guests(self, guests: frozenset[GuestId]) -> None:
        """Write down which guests are Nova's, durably. Idempotent."""
        if guests != self._nova_guests:
            _write_guests(self._nova_guests_file, guests)
            self._nova_guests = guests

    def denied(self) -> frozenset[GuestId]:
        """Tell which guests of Nova's were denied here when ZooKeeper last told."""
        return self._denied

    def set_denied(self, guests: frozenset[GuestId]) -> None:
        """Write down which guests are denied, durably. Idempotent."""
        if guests != self._denied:
            _write_guests(self._denied_file, guests)
            self._denied = guests

    def note_given_up(self) -> None:
        """Write down that this very boot was shut out. Idempotent."""
        self._gate.note_given_up()

    def is_given_up(self) -> bool:
        """Say whether this very boot is known to have been shut out."""
        return self._gate.is_given_up()

    def note_enforced(self, guard_version: int, now_s: float) -> None:
        """Tell the gate that the hook obeys grants read after this version of the guard."""
        self._gate.note_enforced(Enforced(guard_version=guard_version, at_s=now_s))

    def override(self) -> GateOverride | None:
        """Tell who opened the gate of this boot by hand; None: nobody."""
        return self._gate.override()

    def _mark(self, mark: Path, *, is_so: bool) -> None:
        """Say something of this boot, or not of it."""
        if not is_so:
            mark.unlink(missing_ok=True)
        elif not (mark.exists() and mark.read_text() == self._boot_id):
            replace_file(mark, self._boot_id)


def read_leaving(path: Path) -> Leaving | None:
    """Read the announcement; rubbish in it counts as a shutdown, because somebody did announce."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return Leaving.REBOOT if text == Leaving.REBOOT else Leaving.SHUTDOWN


def announce_leaving(run_dir: Path, leaving: Leaving | None) -> None:
    """Announce that this host goes (``hamon agent leave``); None takes it back. Idempotent.

    Raises:
        OSError: the folder cannot be written.
    """
    if leaving is None:
        (run_dir / "leaving").unlink(missing_ok=True)
    else:
        replace_file(run_dir / "leaving", leaving)


def ask_to_forget(folders: HostFolders, guest: GuestId) -> None:
    """Have the guests process forget a guest that libvirt has no definition of. Idempotent.

    Raises:
        OSError: the folder cannot be written.
    """
    folders.make()
    replace_file(folders.run_dir / "forget" / guest, "")


def _write_guests(path: Path, guests: frozenset[GuestId]) -> None:
    replace_file(path, json.dumps(dict.fromkeys(sorted(guests), 1)))


def _read_numbers(path: Path) -> dict[GuestId, int]:
    """Read numbers by guest; a file that is missing or torn counts as empty.

    safety: what is forgotten here only makes this host less suspicious of a rolled-back ensemble;
    every start still needs a claim that ZooKeeper granted. In a nova cloud only an operator's
    override goes by what was denied, on the operator's word that no guest of here runs elsewhere.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(content, Mapping):
        return {}
    return {GuestId(str(key)): value for key, value in content.items() if isinstance(value, int)}
