"""The gate before nova-compute: every reason to wait, and the ways it opens."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from hamon.agent.gate import LOOK_PERIOD_S, MARK_FRESH_S, Gate, GateAnswer, Verdict
from hamon.agent.gate_files import REWRITE_AFTER_S, Enforced, FileGateFiles, GateOverride
from hamon.agent.host_files import FileHostFiles
from hamon.agent.permits import HostFolders
from hamon.coordination.bootstrap import remove_host
from hamon.coordination.paths import Place, PlaceKind, to_path
from hamon.model.host import HostGuard, Right
from hamon.model.names import BootId
from hamon.model.policy import Backend, Mode
from hamon.ports.store import SetData
from hamon.sim.store import InMemoryStore
from tests.unit.agent_world import BOOT, GUEST, HOST, INCIDENT, OTHER, OWN, World, nova_definition
from tests.virtual_clock import rest

FORMER = BootId("boot-0")
OTHERS_SHUT_OUT = HostGuard(right=Right.SHUT_OUT, boot_id=FORMER, incident=INCIDENT)
OPENED = replace(OTHERS_SHUT_OUT, is_gate_open=True)
OVERRIDE = GateOverride(who="ada", at="T1", reason="ZooKeeper burnt down")


class Waiting:
    """A gate that somebody waits at, and what it says."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.said: list[str] = []
        self.store: InMemoryStore = world.server.connect(OWN)
        self._task: asyncio.Task[GateAnswer] | None = None

    async def begin(self, timeout_s: float | None = None) -> None:
        """Run ``hamon agent gate``."""
        gate = Gate(
            host=HOST,
            boot_id=self.world.boot_id,
            store=self.store,
            files=self.world.files,
            clock=self.world.clock,
            log=self.world.log,
            say=self.said.append,
        )
        self._task = asyncio.create_task(gate.wait(timeout_s))
        await rest()

    def answer(self) -> GateAnswer | None:
        """What it ended with; None while it waits."""
        assert self._task is not None
        return self._task.result() if self._task.done() else None

    def verdict(self) -> Verdict | None:
        """How it ended; None while it waits."""
        answer = self.answer()
        return None if answer is None else answer.verdict

    async def end(self) -> None:
        """Stop waiting."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.store.die()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A compute host of a nova cloud: heartbeat registered, guests process running."""
    world = World(Backend.NOVA)
    world.hypervisor.define_now(nova_definition())
    await world.prepare()
    await world.register()
    await world.start_agent()
    yield world
    await world.close()


@pytest.fixture
async def gate(world: World) -> AsyncIterator[Waiting]:
    """The gate of that host; nobody waits yet."""
    gate = Waiting(world)
    yield gate
    await gate.end()


# -- it opens -----------------------------------------------------------------------------------


async def test_gate__host_in_service__opens_at_once(gate: Waiting) -> None:
    """An ordinary start of nova-compute waits for nothing."""
    await gate.begin()

    assert Verdict.OPEN is gate.verdict()
    assert [] == gate.said


async def test_gate__host_is_back_and_leader_opens__opens_with_the_hook_shut(
    world: World, gate: Waiting
) -> None:
    """By then no evacuated guest can start here any more."""
    await world.write_guard(OTHERS_SHUT_OUT)
    await world.deny()
    await gate.begin()
    await world.pass_s(60)
    assert gate.verdict() is None

    await world.write_guard(OPENED)
    await world.pass_s(LOOK_PERIOD_S)

    assert Verdict.OPEN is gate.verdict()
    assert not world.permits.admit(GUEST)


# -- it waits -------------------------------------------------------------------------------------


async def test_gate__guests_still_move__names_the_incident_once(
    world: World, gate: Waiting
) -> None:
    """Whoever waits reads why, and reads it once."""
    await world.write_guard(OTHERS_SHUT_OUT)
    await gate.begin()
    await world.pass_s(600)

    assert gate.verdict() is None
    assert 1 == len(gate.said)
    assert INCIDENT in gate.said[0]
    assert 1 == world.log.names().count("gate_waits")


async def test_gate__zookeeper_is_gone__waits_and_says_so(world: World, gate: Waiting) -> None:
    """Closed without ZooKeeper, whatever was true before."""
    world.server.lose_quorum()
    await gate.begin()
    await world.pass_s(600)
    assert gate.verdict() is None
    assert "ZooKeeper does not answer" in gate.said[0]

    world.server.regain_quorum()
    await world.pass_s(10)

    assert Verdict.OPEN is gate.verdict()


async def test_gate__guests_process_does_not_run__waits(world: World, gate: Waiting) -> None:
    """Without it nobody ends a copy that starts all the same; an old mark says nothing."""
    await world.stop_agent()
    await world.pass_s(MARK_FRESH_S + 1)
    await gate.begin()
    await world.pass_s(60)
    assert gate.verdict() is None
    assert "guests process does not run" in gate.said[0]

    await world.start_agent()
    await world.pass_s(LOOK_PERIOD_S)

    assert Verdict.OPEN is gate.verdict()


async def test_gate__shadow_mode_and_zookeeper_gone_over_a_boot__opens(
    world: World, gate: Waiting
) -> None:
    """A hamon that is to do nothing keeps nova-compute from nothing."""
    await world.tell_mode(Mode.SHADOW)
    await world.pass_s(1)
    world.server.lose_quorum()
    await world.reboot()
    await gate.begin()
    await world.pass_s(5)

    assert Verdict.OPEN is gate.verdict()


async def test_gate__shadow_mode_and_guests_process_does_not_run__opens(
    world: World, gate: Waiting
) -> None:
    """Neither does an agent that is ill."""
    await world.tell_mode(Mode.SHADOW)
    await world.pass_s(1)
    await world.stop_agent()
    await world.pass_s(MARK_FRESH_S + 1)
    await gate.begin()

    assert Verdict.OPEN is gate.verdict()


@pytest.mark.parametrize(
    ("guard", "verdict"),
    [
        (OTHERS_SHUT_OUT, None),
        (OPENED, None),
        (HostGuard(right=Right.SHUT_OUT, boot_id=BOOT, incident=INCIDENT), Verdict.NEVER),
    ],
)
async def test_gate__shadow_mode_once_and_host_shut_out_since__goes_by_the_guard(
    world: World, gate: Waiting, guard: HostGuard, verdict: Verdict | None
) -> None:
    """By hand an operator may have its guests moved all the same: nothing is denied yet."""
    await world.tell_mode(Mode.SHADOW)
    await world.pass_s(1)
    await world.stop_agent()
    await world.write_guard(guard)
    await gate.begin()
    await world.pass_s(60)

    assert verdict is gate.verdict()


async def test_gate__boot_whose_guests_process_has_read_nothing__waits(
    world: World, gate: Waiting
) -> None:
    """What was evacuated while this host was dead is not denied yet."""
    await world.stop_agent()
    world.files.reboot()
    world.boot_id = BootId("boot-2")
    await world.register()
    await gate.begin()
    await world.pass_s(5)

    assert gate.verdict() is None


async def test_gate__guests_process_read_before_the_last_word__waits(
    world: World, gate: Waiting
) -> None:
    """A denial may have come with that word."""
    await world.write_guard(OTHERS_SHUT_OUT)
    await world.stop_agent()
    await world.write_guard(OPENED)
    await gate.begin()

    assert gate.verdict() is None
    assert "last word" in gate.said[0]


async def test_gate__boot_not_registered__waits(world: World, gate: Waiting) -> None:
    """A conviction of the former boot would go past this one."""
    await world.register(FORMER)
    await gate.begin()
    await world.pass_s(60)
    assert gate.verdict() is None
    assert "heartbeat" in gate.said[0]

    await world.register()
    await world.pass_s(LOOK_PERIOD_S)

    assert Verdict.OPEN is gate.verdict()


async def test_gate__host_never_enrolled__waits_and_says_what_to_do(
    world: World, gate: Waiting
) -> None:
    """Nobody would know if this host died."""
    await world.stop_agent()
    await remove_host(world.leader, HOST)
    await gate.begin()
    await world.pass_s(60)

    assert gate.verdict() is None
    assert "not enrolled" in gate.said[0]


async def test_gate__identity_refused__waits_and_names_the_password(
    world: World, gate: Waiting
) -> None:
    """A host that may not read its own guard has the wrong password."""
    gate.store.die()
    gate.store = world.server.connect("host-compute-1:wrong")
    await gate.begin()

    assert gate.verdict() is None
    assert "password_file" in gate.said[0]


async def test_gate__guard_of_a_newer_schema__waits(world: World, gate: Waiting) -> None:
    """What cannot be read is never guessed at."""
    path = to_path(Place(kind=PlaceKind.GUARD, host=HOST))
    node = await world.leader.get(path)
    await world.leader.commit([SetData(path=path, data=b'{"schema":9}', version=node.version)])
    await gate.begin()
    await world.pass_s(60)

    assert gate.verdict() is None
    assert "update hamon" in gate.said[0]


async def test_gate__reason_changes__each_is_told(world: World, gate: Waiting) -> None:
    """The journal reads as a story."""
    await world.write_guard(OTHERS_SHUT_OUT)
    world.server.lose_quorum()
    await gate.begin()
    await world.pass_s(60)
    world.server.regain_quorum()
    await world.pass_s(60)

    assert 2 == len(gate.said)
    assert INCIDENT in gate.said[1]


# -- it ends without opening --------------------------------------------------------------------


@pytest.mark.parametrize("is_overridden", [False, True])
async def test_gate__this_boot_was_given_up__ends_at_once(
    world: World, gate: Waiting, *, is_overridden: bool
) -> None:
    """Its guests may run elsewhere: only a reboot helps, and no word of an operator does."""
    world.files.overridden = OVERRIDE if is_overridden else None
    await world.write_guard(HostGuard(right=Right.SHUT_OUT, boot_id=BOOT, is_gate_open=True))
    await gate.begin()

    answer = gate.answer()
    assert answer is not None
    assert Verdict.NEVER is answer.verdict
    assert "reboot" in answer.why


async def test_gate__time_is_over__stays_closed(world: World, gate: Waiting) -> None:
    """Whoever set a limit learns why it was not enough."""
    await world.write_guard(OTHERS_SHUT_OUT)
    await gate.begin(timeout_s=2.5)
    await world.pass_s(2.4)
    assert gate.verdict() is None

    await world.pass_s(0.2)

    answer = gate.answer()
    assert answer is not None
    assert Verdict.CLOSED is answer.verdict
    assert INCIDENT in answer.why


# -- an operator's word -------------------------------------------------------------------------


async def test_override__left_while_it_waits__opens_and_is_logged(
    world: World, gate: Waiting
) -> None:
    """For the day ZooKeeper is gone for good."""
    world.server.lose_quorum()
    await gate.begin()
    await world.pass_s(60)
    assert gate.verdict() is None

    world.files.overridden = OVERRIDE
    await world.pass_s(LOOK_PERIOD_S)

    answer = gate.answer()
    assert answer is not None
    assert Verdict.OPEN is answer.verdict
    assert "ada" in answer.why
    assert "gate_overridden" in world.log.names()


async def test_override__of_a_boot_that_was_shut_out__does_not_open(
    world: World, gate: Waiting
) -> None:
    """The guests process knows it, though ZooKeeper is gone and does not tell the gate."""
    world.server.lose_quorum()
    world.files.note_given_up()
    world.files.overridden = OVERRIDE
    await gate.begin()
    await world.pass_s(LOOK_PERIOD_S)

    answer = gate.answer()
    assert answer is not None
    assert Verdict.NEVER is answer.verdict


async def test_override__of_an_earlier_boot__opens_nothing(world: World, gate: Waiting) -> None:
    """It lies on tmpfs, and names its boot."""
    world.files.overridden = OVERRIDE
    await world.write_guard(OTHERS_SHUT_OUT)
    await world.reboot()
    await gate.begin()
    await world.pass_s(60)

    assert gate.verdict() is None


# -- the files ------------------------------------------------------------------------------------


def test_files__written__are_read_back_in_this_boot_only(tmp_path: Path) -> None:
    """Where /run is no tmpfs, an earlier boot's files say nothing all the same."""
    files = FileGateFiles(tmp_path, BOOT)
    mark = Enforced(guard_version=3, at_s=17.5)
    files.note_enforced(mark)
    files.leave_override(OVERRIDE)

    again, later = FileGateFiles(tmp_path, BOOT), FileGateFiles(tmp_path, BootId("boot-2"))
    assert (mark, OVERRIDE) == (again.enforced(), again.override())
    assert (None, None) == (later.enforced(), later.override())


def test_files__mark__is_written_for_a_new_guard_and_now_and_then(tmp_path: Path) -> None:
    """Events come often; what the gate needs is the version, and that the writer lives."""
    files = FileGateFiles(tmp_path, BOOT)
    first = Enforced(guard_version=3, at_s=100.0)
    files.note_enforced(first)
    files.note_enforced(replace(first, at_s=101.0))
    assert first == files.enforced()

    files.note_enforced(replace(first, at_s=100.0 + REWRITE_AFTER_S))
    assert Enforced(guard_version=3, at_s=100.0 + REWRITE_AFTER_S) == files.enforced()

    files.note_enforced(Enforced(guard_version=4, at_s=105.1))
    assert Enforced(guard_version=4, at_s=105.1) == files.enforced()


def test_files__given_up__is_known_in_this_boot_only_and_to_the_gates_own_user(
    tmp_path: Path,
) -> None:
    """The guests process writes it as root; the gate must never open in that boot."""
    files = FileGateFiles(tmp_path, BOOT)
    assert not files.is_given_up()

    files.note_given_up()

    assert FileGateFiles(tmp_path, BOOT).is_given_up()
    assert not FileGateFiles(tmp_path, BootId("boot-2")).is_given_up()
    assert 0o644 == (tmp_path / "given-up").stat().st_mode & 0o777


def test_files__torn_or_missing__say_nothing(tmp_path: Path) -> None:
    """A closed gate costs a look, an open one perhaps a disk."""
    files = FileGateFiles(tmp_path, BOOT)
    (tmp_path / "enforced.json").write_text('{"boot_id": "boot-1", "guard_ver')

    assert (None, None) == (files.enforced(), files.override())


def test_files__mark__may_be_read_by_the_gates_own_user(tmp_path: Path) -> None:
    """The guests process is root with a strict umask, the gate is not."""
    FileGateFiles(tmp_path, BOOT).note_enforced(Enforced(guard_version=3, at_s=1.0))

    assert 0o644 == (tmp_path / "enforced.json").stat().st_mode & 0o777


def test_files__of_the_guests_process__are_those_of_the_gate(tmp_path: Path) -> None:
    """One writes, the other reads; what is known of Nova's guests outlives process and boot."""
    folders = HostFolders(run_dir=tmp_path / "run", state_dir=tmp_path / "state")
    written = FileHostFiles(folders, BOOT)
    read = FileGateFiles(folders.run_dir, BOOT)
    read.leave_override(OVERRIDE)
    written.note_enforced(3, 17.5)
    written.set_nova_guests(frozenset({GUEST}))
    written.set_denied(frozenset({OTHER}))

    next_boot = FileHostFiles(folders, BootId("boot-2"))
    assert Enforced(guard_version=3, at_s=17.5) == read.enforced()
    assert OVERRIDE == written.override()
    assert frozenset({GUEST}) == next_boot.nova_guests()
    assert frozenset({OTHER}) == next_boot.denied()


def test_files__boot_given_up__is_known_to_the_next_process_and_not_to_the_next_boot(
    tmp_path: Path,
) -> None:
    """Also where /run is no tmpfs."""
    folders = HostFolders(run_dir=tmp_path / "run", state_dir=tmp_path / "state")
    files = FileHostFiles(folders, BOOT)
    assert not files.is_given_up()

    files.note_given_up()

    assert FileHostFiles(folders, BOOT).is_given_up()
    assert not FileHostFiles(folders, BootId("boot-2")).is_given_up()


def test_files__shadow_mode__outlives_the_boot_and_its_mark_for_the_gate_does_not(
    tmp_path: Path,
) -> None:
    """The agent makes the mark again; until then the gate goes by its own rules."""
    folders = HostFolders(run_dir=tmp_path / "run", state_dir=tmp_path / "state")
    files = FileHostFiles(folders, BOOT)
    assert not files.is_shadow()
    files.set_shadow(is_shadow=True)
    assert FileGateFiles(folders.run_dir, BOOT).is_marked_shadow()

    later = BootId("boot-2")
    next_boot = FileHostFiles(folders, later)
    assert next_boot.is_shadow()
    assert not FileGateFiles(folders.run_dir, later).is_marked_shadow()

    next_boot.set_shadow(is_shadow=True)
    assert FileGateFiles(folders.run_dir, later).is_marked_shadow()

    next_boot.set_shadow(is_shadow=False)
    assert not FileGateFiles(folders.run_dir, later).is_marked_shadow()
    assert not FileHostFiles(folders, later).is_shadow()
