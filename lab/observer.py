"""Watches the guests' disks from outside: who writes, since when, how long away, and twice?

It sees what a guest's users would see, whatever any daemon or libvirt says.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

POLL_S = 0.02
# A guest writes every 120 ms; on a busy machine a write can be late by much more.
SILENT_AFTER_S = 2.0
DISK_BYTES = 8 << 20
SECTOR_BYTES = 512
FIRST_RING_SECTOR = 64
RING_SECTORS = 32
TIMELINE_RECORDS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a guest wrote.

    Attributes:
        boot_id: of this boot of the guest, different at each start.
        counter: writes of this boot so far, from 1.
        foreign: how often this boot found another's record after its own first write.
        before: the boot id that it found at its first write, "-" on a new disk.
    """

    guest: str
    boot_id: str
    counter: int
    foreign: int
    before: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A record and when it was first seen, in seconds of CLOCK_BOOTTIME."""

    record: Record
    seen_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """A guest stopped writing under one boot id and began again under another.

    Attributes:
        last_write_s: when the last record of the old boot was seen (CLOCK_BOOTTIME).
        first_write_s: when the first record of the new boot was seen.
    """

    old_boot_id: str
    new_boot_id: str
    last_write_s: float
    first_write_s: float

    @property
    def downtime_s(self) -> float:
        """How long nobody wrote."""
        return self.first_write_s - self.last_write_s


@dataclass(slots=True, kw_only=True)
class GuestTimeline:
    """What was seen on one guest's disk."""

    sightings: deque[Sighting] = field(default_factory=lambda: deque(maxlen=TIMELINE_RECORDS))
    boots: list[str] = field(default_factory=list)
    absences: list[Absence] = field(default_factory=list)
    double_writes: int = 0

    def add(self, sighting: Sighting) -> None:
        """Take in a record that differs from the last one."""
        boot_id = sighting.record.boot_id
        if self.boots and boot_id != self.boots[-1] and boot_id in self.boots:
            # An older boot writes after a newer one began.
            self.double_writes += 1
        elif boot_id not in self.boots:
            if self.sightings:
                last = self.sightings[-1]
                self.absences.append(
                    Absence(
                        old_boot_id=last.record.boot_id,
                        new_boot_id=boot_id,
                        last_write_s=last.seen_s,
                        first_write_s=sighting.seen_s,
                    )
                )
            self.boots.append(boot_id)
        # A writer that found the other's record also counts: it may fall between two looks.
        self.double_writes = max(self.double_writes, sighting.record.foreign)
        self.sightings.append(sighting)

    @property
    def last(self) -> Sighting | None:
        """The newest record."""
        return self.sightings[-1] if self.sightings else None

    def writing(self, now_s: float) -> bool:
        """Whether a record was new within the last `SILENT_AFTER_S`."""
        return self.last is not None and now_s - self.last.seen_s < SILENT_AFTER_S


def now_s() -> float:
    """The observer's clock: CLOCK_BOOTTIME, as the daemons use."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def format_disk(disk: Path) -> None:
    """Make an empty guest disk; sparse."""
    disk.parent.mkdir(parents=True, exist_ok=True)
    with disk.open("wb") as file:
        file.truncate(DISK_BYTES)


def parse(sector: bytes) -> Record | None:
    """The record in a sector; None if a guest did not write it."""
    words = sector.decode("ascii", errors="replace").split()
    if len(words) != 8 or words[:2] != ["hamon-guest", "1"]:
        return None
    return Record(
        guest=words[2],
        boot_id=words[3],
        counter=int(words[4]),
        foreign=int(words[5]),
        before=words[6],
    )


def read_current(disk: Path) -> Record | None:
    """The last record that any writer put onto a disk."""
    with disk.open("rb", buffering=0) as file:
        return parse(file.read(SECTOR_BYTES))


def read_rings(disk: Path) -> dict[str, list[Record]]:
    """The last records of each boot that wrote to a disk, in the order of their counters.

    Evidence after the fact: a boot with `foreign` above 0 shared the disk with another writer.
    """
    boots: dict[str, list[Record]] = {}
    with disk.open("rb", buffering=0) as file:
        file.seek(FIRST_RING_SECTOR * SECTOR_BYTES)
        rings = file.read(256 * RING_SECTORS * SECTOR_BYTES)
    for at in range(0, len(rings), SECTOR_BYTES):
        if rings[at : at + 1] == b"h":
            record = parse(rings[at : at + SECTOR_BYTES])
            if record is not None:
                boots.setdefault(record.boot_id, []).append(record)
    return {boot: sorted(found, key=lambda r: r.counter) for boot, found in boots.items()}


class Observer:
    """Watches every guest's disk, from a thread of its own.

    Use it as a context manager. Disks that appear or disappear are followed.

    Args:
        find_disks: gives the disk of each guest that there is.
    """

    def __init__(self, find_disks: Callable[[], Mapping[str, Path]]) -> None:
        self._find_disks = find_disks
        self._lock = threading.Lock()
        self._timelines: dict[str, GuestTimeline] = {}
        self._files: dict[str, tuple[int, int]] = {}
        self._sectors: dict[str, bytes] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lab-observer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for file, _inode in self._files.values():
            os.close(file)

    def guests(self) -> list[str]:
        """The guests whose disk was seen."""
        with self._lock:
            return sorted(self._timelines)

    def last(self, guest: str) -> Sighting | None:
        """The last record of a guest, None if it has not written yet."""
        with self._lock:
            timeline = self._timelines.get(guest)
            return timeline.last if timeline else None

    def writing(self, guest: str) -> bool:
        """Whether a guest writes now."""
        with self._lock:
            timeline = self._timelines.get(guest)
            return timeline is not None and timeline.writing(now_s())

    def boots(self, guest: str) -> list[str]:
        """The boot ids of a guest in the order in which they first wrote."""
        with self._lock:
            return list(self._timelines[guest].boots) if guest in self._timelines else []

    def absences(self, guest: str) -> list[Absence]:
        """The times between two boots of a guest, oldest first."""
        with self._lock:
            return list(self._timelines[guest].absences) if guest in self._timelines else []

    def sightings(self, guest: str) -> list[Sighting]:
        """All that was seen of a guest, oldest first."""
        with self._lock:
            return list(self._timelines[guest].sightings) if guest in self._timelines else []

    def double_writers(self) -> dict[str, int]:
        """The guests of which two copies wrote, with how often it was seen."""
        with self._lock:
            return {g: t.double_writes for g, t in self._timelines.items() if t.double_writes}

    def wait_for(self, condition: Callable[["Observer"], bool], deadline_s: float) -> bool:
        """Wait until a condition holds; return whether it did within `deadline_s`."""
        deadline = time.monotonic() + deadline_s
        while not condition(self):
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True

    def _watch(self) -> None:
        looks = 0
        while not self._stop.wait(POLL_S):
            if looks % 10 == 0:
                self._follow_disks()
            looks += 1
            for guest, (file, _inode) in self._files.items():
                sector = os.pread(file, SECTOR_BYTES, 0)
                if sector == self._sectors.get(guest):
                    continue
                seen_s = now_s()
                self._sectors[guest] = sector
                record = parse(sector)
                if record is not None:
                    with self._lock:
                        self._timelines[guest].add(Sighting(record=record, seen_s=seen_s))

    def _follow_disks(self) -> None:
        present = self._find_disks()
        for guest, (file, inode) in list(self._files.items()):
            disk = present.get(guest)
            if disk is None or _inode_of(disk) != inode:
                os.close(file)
                del self._files[guest]
                self._sectors.pop(guest, None)
        for guest, disk in present.items():
            if guest not in self._files:
                try:
                    file = os.open(disk, os.O_RDONLY | os.O_CLOEXEC)
                except FileNotFoundError:
                    continue
                self._files[guest] = (file, os.fstat(file).st_ino)
                # A new disk under an old name is a new guest.
                with self._lock:
                    self._timelines[guest] = GuestTimeline()


def _inode_of(disk: Path) -> int | None:
    try:
        return disk.stat().st_ino
    except FileNotFoundError:
        return None
