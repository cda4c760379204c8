"""The contract of ``ports.BeatFolder``, kept by the simulator's storage and by real files."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import pytest

from hamon.agent import storage_writer
from hamon.agent.storage_beats import StorageBeats
from hamon.clock import SystemClock
from hamon.detector import storage_reader
from hamon.detector.storage_folder import MountedFolder
from hamon.model.beat import Beat
from hamon.model.names import BootId, HostName, host_name
from hamon.ports.beats import BeatFolder
from hamon.sim.storage import SimulatedStorage

pytestmark = pytest.mark.contract

HOST = host_name("host-1")
OTHER = host_name("host-2")
BOOT = BootId("1b4e28ba-2fa1-41d2-883f-0016d3cca427")
WITHIN_S = 10.0
IMPATIENT_S = 0.3


def a_beat(host: HostName = HOST, sequence: int = 1) -> Beat:
    """A heartbeat of a host."""
    return Beat(host=host, boot_id=BOOT, sequence=sequence)


class World(Protocol):
    """One folder, and what is in it."""

    folder: BeatFolder

    def put(self, name: HostName, text: str | None) -> None:
        """Have a file hold something, or be missing."""
        ...

    def hang(self, *, hangs: bool) -> None:
        """Have reads not return, or return again."""
        ...


class MemoryWorld:
    """The simulator's storage."""

    def __init__(self) -> None:
        self._storage = SimulatedStorage(SystemClock(), ("nfs1",))
        self.folder: BeatFolder = self._storage.folder("nfs1", "controller-1")

    def put(self, name: HostName, text: str | None) -> None:
        """See :class:`World`."""
        self._storage.put("nfs1", name, text)

    def hang(self, *, hangs: bool) -> None:
        """See :class:`World`."""
        self._storage.hang("nfs1", hangs=hangs)


class FilesWorld:
    """A folder of this machine, and the program that reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mounted = MountedFolder("nfs1", path, SystemClock())
        self.folder: BeatFolder = self.mounted

    def put(self, name: HostName, text: str | None) -> None:
        """See :class:`World`."""
        if text is None:
            (self.path / name).unlink(missing_ok=True)
        else:
            (self.path / name).write_text(text)

    def hang(self, *, hangs: bool) -> None:
        """Stop the program: to its parent that is what a hung mount looks like."""
        assert self.mounted.pid is not None
        os.kill(self.mounted.pid, signal.SIGSTOP if hangs else signal.SIGCONT)


@contextlib.asynccontextmanager
async def a_files_world(path: Path) -> AsyncIterator[FilesWorld]:
    """Start the reading program for a folder, and end it."""
    world = FilesWorld(path)
    world.mounted.start()
    await until(lambda: world.mounted.pid is not None)
    try:
        yield world
    finally:
        await world.mounted.close()


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[FilesWorld]:
    """A real folder."""
    async with a_files_world(tmp_path) as world:
        yield world


@pytest.fixture(params=["memory", "files"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A folder of each kind."""
    if request.param == "memory":
        yield MemoryWorld()
        return
    async with a_files_world(tmp_path) as real:
        yield real


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: it did not in time.
    """
    deadline_s = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.01)


def wait_until(condition: Callable[[], bool]) -> None:
    """Do the same without a loop."""
    asyncio.run(until(condition))


async def test_read__files_of_hosts__are_their_beats(world: World) -> None:
    """Only who was asked for is told of, each time what stands there now."""
    world.put(HOST, a_beat().line())
    world.put(OTHER, a_beat(OTHER, 7).line())

    assert {HOST: a_beat()} == await world.folder.read((HOST,), WITHIN_S)

    world.put(HOST, a_beat(sequence=2).line())

    both = {HOST: a_beat(sequence=2), OTHER: a_beat(OTHER, 7)}
    assert both == await world.folder.read((HOST, OTHER), WITHIN_S)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "rubbish",
        "hamon-beat 2 host-1 1b4e28ba-2fa1-41d2-883f-0016d3cca427 1\n",
        "hamon-beat 1 host-1 1b4e28ba-2fa1-41d2-883f-0016d3cca427 x\n",
        "hamon-beat 1 host-1 1b4e28ba-2fa1-41d2-883f-0016d3cca427\n",
        "\0" * 256,
        a_beat(OTHER).line(),
        "hamon-beat 1 ../../x 1b4e28ba-2fa1-41d2-883f-0016d3cca427 1\n",
        "x" * 100_000,
    ],
)
async def test_read__no_heartbeat_of_the_host__is_left_out(world: World, text: str | None) -> None:
    """What is missing, is no heartbeat, or bears another name says nothing; others are read."""
    world.put(HOST, text)
    world.put(OTHER, a_beat(OTHER).line())

    assert {OTHER: a_beat(OTHER)} == await world.folder.read((HOST, OTHER), WITHIN_S)


async def test_read__storage_hangs__is_no_answer_and_a_new_one_after(world: World) -> None:
    """A hung storage costs the time-out and no more; what it said late is not taken for new."""
    world.put(HOST, a_beat().line())
    assert await world.folder.read((HOST,), WITHIN_S)
    world.hang(hangs=True)

    assert await world.folder.read((HOST,), IMPATIENT_S) is None
    assert await world.folder.read((HOST,), IMPATIENT_S) is None

    world.put(HOST, a_beat(sequence=9).line())
    world.hang(hangs=False)

    read = None
    deadline_s = time.monotonic() + WITHIN_S
    while not read and time.monotonic() < deadline_s:
        read = await world.folder.read((HOST,), WITHIN_S)
        await asyncio.sleep(0.01)
    assert {HOST: a_beat(sequence=9)} == read


# -- real files only ------------------------------------------------------------------------------


async def test_read__folder_is_not_there__is_no_answer_until_it_is(tmp_path: Path) -> None:
    """A storage that is mounted later is read then."""
    async with a_files_world(tmp_path / "later") as world:
        assert await world.folder.read((HOST,), WITHIN_S) is None

        world.path.mkdir()
        world.put(HOST, a_beat().line())

        assert {HOST: a_beat()} == await world.folder.read((HOST,), WITHIN_S)


async def test_read__links_and_pipes__are_not_followed(files: FilesWorld, tmp_path: Path) -> None:
    """Other hosts write to the folder: nothing they leave there reads a secret or blocks."""
    secret = tmp_path / "secret"
    secret.write_text(a_beat().line())
    (files.path / HOST).symlink_to(secret)
    os.mkfifo(files.path / OTHER)

    assert {} == await files.folder.read((HOST, OTHER), WITHIN_S)


async def test_read__program_dies__another_is_started(files: FilesWorld) -> None:
    """Nobody has to restart the controller for it."""
    files.put(HOST, a_beat().line())
    first = files.mounted.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)

    await until(lambda: files.mounted.pid not in {None, first})

    assert {HOST: a_beat()} == await files.folder.read((HOST,), WITHIN_S)


# -- the writer, as the reader sees it ------------------------------------------------------------


@contextlib.asynccontextmanager
async def writing(path: Path, boot_id: BootId = BOOT) -> AsyncIterator[StorageBeats]:
    """Have a host beat in a folder."""
    beats = StorageBeats(
        {"nfs1": path}, HOST, boot_id, SystemClock(), period_s=0.05, late_after_s=WITHIN_S
    )
    running = asyncio.create_task(beats.run())
    try:
        yield beats
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def read_one(files: FilesWorld) -> Beat | None:
    """Read the host's heartbeat now."""
    read = await files.folder.read((HOST,), WITHIN_S)
    assert read is not None
    return read.get(HOST)


async def moved_on(files: FilesWorld, sequence: int) -> Beat:
    """Wait until the host's sequence is greater."""
    deadline_s = time.monotonic() + WITHIN_S
    while True:
        beat = await read_one(files)
        if beat is not None and beat.sequence > sequence:
            return beat
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.01)


async def test_writer__a_boot__only_counts_up_over_restarts(files: FilesWorld) -> None:
    """The two programs agree on the format; a writer goes on where a former one stopped."""
    async with writing(files.path):
        before = await moved_on(files, 3)
    async with writing(files.path):
        after = await moved_on(files, before.sequence)

    assert (HOST, BOOT, HOST, BOOT) == (before.host, before.boot_id, after.host, after.boot_id)
    found = (files.path / HOST).stat()
    assert (256, 0o644) == (found.st_size, stat.S_IMODE(found.st_mode))
    assert [HOST] == [file.name for file in files.path.iterdir()]


async def test_writer__next_boot__begins_anew(files: FilesWorld) -> None:
    """A sequence belongs to one boot."""
    files.put(HOST, a_beat(sequence=100_000).line())
    boot_id = BootId(BOOT.replace("1b4e", "2b4e"))

    async with writing(files.path, boot_id):
        deadline_s = time.monotonic() + WITHIN_S
        while (beat := await read_one(files)) is None or beat.boot_id != boot_id:
            assert time.monotonic() < deadline_s

    assert beat.sequence < 100_000


@pytest.mark.parametrize("left", ["", "\0" * 256, "cut off"])
async def test_writer__what_a_crash_left__is_replaced(files: FilesWorld, left: str) -> None:
    """A storage that crashed may leave an empty or cut-off file."""
    files.put(HOST, left)

    async with writing(files.path):
        assert (await moved_on(files, 0)).sequence


async def test_writer__something_else_is_there__is_left_alone(files: FilesWorld) -> None:
    """A folder that was named by mistake loses no file; the check says why."""
    files.put(HOST, "x" * 1000)

    async with writing(files.path) as beats:
        await until(lambda: "remove it" in (beats.trouble()["nfs1"] or ""))

    assert "x" * 1000 == (files.path / HOST).read_text()


async def test_writer__link_in_its_place__is_not_followed(
    files: FilesWorld, tmp_path: Path
) -> None:
    """Root does not write where another host's link leads."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (files.path / HOST).symlink_to(precious)

    async with writing(files.path) as beats:
        await until(lambda: bool(beats.trouble()["nfs1"]))

    assert "precious" == precious.read_text()


async def test_writer__folder_missing__is_not_made_and_found_later(tmp_path: Path) -> None:
    """Where the folder is missing the storage is not mounted."""
    folder = tmp_path / "later"

    async with writing(folder) as beats:
        await until(lambda: bool(beats.trouble()["nfs1"]))
        assert not folder.exists()
        folder.mkdir()
        await until(lambda: beats.trouble()["nfs1"] == "")


async def test_writer__closed__is_gone(tmp_path: Path) -> None:
    """Whoever closes it waits for its end."""
    async with writing(tmp_path) as beats:
        await until(lambda: beats.trouble()["nfs1"] == "")
        (pid,) = beats.pids()
        assert lives(pid)

    assert not lives(pid)


_PARENT = """
import os, subprocess, sys, time
script = [sys.executable, "-I", "-S", sys.argv[1], "--parent", str(os.getpid())]
child = subprocess.Popen([*script, *sys.argv[2:]])
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("script", "rest"),
    [(storage_writer.__file__, (HOST, BOOT, "0.05")), (storage_reader.__file__, ())],
    ids=["writer", "reader"],
)
def test_program__its_parent_is_killed__ends_too(
    tmp_path: Path, script: str, rest: tuple[str, ...]
) -> None:
    """A heartbeat never outlives what it speaks for; a reader is nobody's then."""
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, script, str(tmp_path), *rest],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        if rest:
            wait_until((tmp_path / HOST).exists)
        parent.kill()

    wait_until(lambda: not lives(pid))


def lives(pid: int) -> bool:
    """Whether a process runs; one that nobody has collected does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    return False
