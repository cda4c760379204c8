"""The gate's contract: no start of a protected guest without a permit of this boot."""

import subprocess
from pathlib import Path
from typing import Protocol

import pytest

from hamon.agent.hook_files import (
    hook_files,
    install_hook,
    is_hook_installed,
    uninstall_hook,
)
from hamon.agent.host_files import FileHostFiles
from hamon.agent.permits import FilePermits, HostFolders
from hamon.model.names import BootId, GuestId
from hamon.ports.hypervisor import Permits
from hamon.sim.host_files import InMemoryPermits
from lab.processes import wait_until

DEADLINE_S = 10.0

pytestmark = pytest.mark.contract

GUEST = GuestId("11111111-1111-4111-8111-111111111111")
OTHER = GuestId("22222222-2222-4222-8222-222222222222")
XML = f"<domain><name>web</name><uuid>{GUEST}</uuid></domain>"


class Gate(Protocol):
    """A host's permits and what libvirt would ask."""

    @property
    def permits(self) -> Permits:
        """The permits of the present boot."""
        ...

    def admits(self, guest: GuestId) -> bool:
        """Say whether libvirt may start the guest now."""
        ...

    def reboot(self) -> None:
        """Begin another life of the host."""
        ...


class MemoryGate:
    """The gate of the simulator."""

    def __init__(self) -> None:
        self.permits = InMemoryPermits()

    def admits(self, guest: GuestId) -> bool:
        """Say whether libvirt may start the guest now."""
        return self.permits.admit(guest)

    def reboot(self) -> None:
        """Begin another life of the host."""
        self.permits.reboot()


class FileGate:
    """The real files, and the real hook as libvirt runs it."""

    def __init__(self, folder: Path) -> None:
        self.folders = HostFolders(run_dir=folder / "run", state_dir=folder / "state")
        self.boot_id_file = folder / "boot_id"
        self.hooks = folder / "hooks"
        install_hook(self.hooks, self.folders, self.boot_id_file)
        self._boot = 0
        self.reboot()

    def admits(self, guest: GuestId) -> bool:
        """Say whether libvirt may start the guest now."""
        return self.run("prepare", XML.replace(GUEST, guest)).returncode == 0

    def reboot(self) -> None:
        """Begin another life of the host; tmpfs that was kept by mistake must not help."""
        self._boot += 1
        boot_id = BootId(f"boot-{self._boot}")
        self.boot_id_file.write_text(boot_id)
        self.permits = FilePermits(self.folders, boot_id)

    def run(self, operation: str, definition: str = XML) -> subprocess.CompletedProcess[str]:
        """Call the hook as libvirt does."""
        return subprocess.run(
            [self.hooks / "qemu", "web", operation, "begin", "-"],
            input=definition,
            capture_output=True,
            text=True,
            check=False,
            env={},
        )


@pytest.fixture
def files(tmp_path: Path) -> FileGate:
    """The real gate."""
    return FileGate(tmp_path)


@pytest.fixture(params=["memory", "files"])
def gate(request: pytest.FixtureRequest, tmp_path: Path) -> Gate:
    """Either gate, with one protected guest."""
    gate: Gate = MemoryGate() if request.param == "memory" else FileGate(tmp_path)
    gate.permits.protect(frozenset({GUEST}))
    return gate


def test_start__protected_without_permit__is_refused(gate: Gate) -> None:
    """That is what keeps a stale copy off."""
    assert not gate.admits(GUEST)


def test_start__refused__is_told_once(gate: Gate) -> None:
    """Whoever asked for it may be a queue that tells nobody."""
    gate.admits(GUEST)
    gate.admits(OTHER)

    assert frozenset({GUEST}) == gate.permits.take_refused()
    assert frozenset() == gate.permits.take_refused()


def test_start__unprotected__passes(gate: Gate) -> None:
    """What is not in hamon's care is not in its way."""
    assert gate.admits(OTHER)


def test_start__with_permit__passes_and_is_noted(gate: Gate) -> None:
    """After a passage a withdrawal no longer says that nothing runs."""
    gate.permits.give(GUEST, 1)
    assert frozenset({GUEST}) == gate.permits.held()

    assert gate.admits(GUEST)

    assert not gate.permits.withdraw(GUEST)


def test_withdraw__nothing_passed__is_certain_and_final(gate: Gate) -> None:
    """No start of it ever will."""
    gate.permits.give(GUEST, 1)

    assert gate.permits.withdraw(GUEST)

    assert not gate.admits(GUEST)
    assert frozenset() == gate.permits.held()


def test_give__again_after_a_passage__does_not_forget_it(gate: Gate) -> None:
    """A process that was restarted in mid-rebuild gives the same permit again."""
    gate.permits.give(GUEST, 1)
    gate.admits(GUEST)

    gate.permits.give(GUEST, 1)

    assert not gate.permits.withdraw(GUEST)


def test_give__of_the_next_generation__begins_anew(gate: Gate) -> None:
    """What passed under an earlier claim says nothing of this one."""
    gate.permits.give(GUEST, 1)
    gate.admits(GUEST)
    gate.permits.withdraw(GUEST)

    gate.permits.give(GUEST, 2)

    assert gate.permits.withdraw(GUEST)


def test_reboot__permits_go_and_protection_stays(gate: Gate) -> None:
    """After a boot nothing starts before ZooKeeper has been asked."""
    gate.permits.give(GUEST, 1)

    gate.reboot()

    assert frozenset() == gate.permits.held()
    assert frozenset({GUEST}) == gate.permits.protected()
    assert not gate.admits(GUEST)


def test_protect__fewer__frees_the_rest(gate: Gate) -> None:
    """The list is what was said last."""
    gate.permits.protect(frozenset({OTHER}))

    assert gate.admits(GUEST)
    assert not gate.admits(OTHER)


# -- the hook ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "operation",
    ["start", "started", "stopped", "release", "reconnect", "migrate", "restore", "attach", "new"],
)
def test_hook__anything_but_prepare__ends_well(files: FileGate, operation: str) -> None:
    """A failing `reconnect` would kill a running guest."""
    files.permits.protect(frozenset({GUEST}))
    assert 0 == files.run(operation).returncode
    assert 0 == files.run(operation, "rubbish").returncode

    # Not even without its script.
    (files.folders.state_dir / "qemu_hook.py").unlink()
    assert 0 == files.run(operation).returncode


def test_hook__refuses__says_why(files: FileGate) -> None:
    """The operator who typed `virsh start` reads the reason."""
    files.permits.protect(frozenset({GUEST}))

    assert "hamon holds no permit" in files.run("prepare").stderr


def test_hook__refusal_cannot_be_noted__still_refuses(files: FileGate) -> None:
    """The note is for the log only."""
    files.permits.protect(frozenset({GUEST}))
    (files.folders.run_dir / "refused").rmdir()

    assert "hamon holds no permit" in files.run("prepare").stderr


def test_hook__xml_is_rubbish__refuses_only_where_protected_guests_live(files: FileGate) -> None:
    """When it cannot tell which guest this is, it may be a protected one."""
    assert 0 == files.run("prepare", "rubbish").returncode

    files.permits.protect(frozenset({GUEST}))

    assert 1 == files.run("prepare", "rubbish").returncode


def test_hook__list_of_protected_is_lost__lets_only_opted_out_guests_start(
    files: FileGate,
) -> None:
    """Any guest may have been in it."""
    (files.folders.state_dir / "protected").rmdir()
    opted_out = XML.replace(
        "<name>",
        '<metadata><g:guest xmlns:g="urn:hamon:guest:1" protect="no"/></metadata><name>',
    )

    assert 1 == files.run("prepare").returncode
    assert 0 == files.run("prepare", opted_out).returncode


def test_hook__run_folder_is_lost__refuses_protected_guests(files: FileGate) -> None:
    """A passage that cannot be noted does not take place."""
    files.permits.protect(frozenset({GUEST}))
    files.permits.give(GUEST, 1)
    (files.folders.run_dir / "passed").rmdir()

    assert 1 == files.run("prepare").returncode


def test_hook__permit_of_an_earlier_boot__refuses(files: FileGate) -> None:
    """Also where /run is no tmpfs."""
    files.permits.protect(frozenset({GUEST}))
    files.permits.give(GUEST, 1)
    files.boot_id_file.write_text("boot-9")

    assert 1 == files.run("prepare").returncode


def test_hook__incoming_migration_of_a_host_in_service__passes(files: FileGate) -> None:
    """A live migration announces itself; its source lets go of the guest."""
    files.permits.protect(frozenset({GUEST}))
    assert 0 == files.run("migrate").returncode
    assert 1 == files.run("prepare").returncode, "the host is not in service"

    (files.folders.run_dir / "in-service").write_text(files.boot_id_file.read_text())
    assert 0 == files.run("migrate").returncode

    assert 0 == files.run("prepare").returncode


def mark_permits_may_come(files: FileGate) -> None:
    """What the agent says of a host that serves Nova."""
    boot_id = BootId(files.boot_id_file.read_text())
    FileHostFiles(files.folders, boot_id).set_permits_may_come(may_come=True)


def wait_until_opened(lock: Path, hook: subprocess.Popen[bytes]) -> None:
    """Wait until the hook opens the lock once more, or has ended."""
    before_ns = lock.stat().st_mtime_ns
    wait_until(
        lambda: lock.stat().st_mtime_ns != before_ns or hook.poll() is not None,
        "the lock opened",
        DEADLINE_S,
    )


@pytest.mark.parametrize("is_listed", [True, False])
def test_hook__permit_comes_while_it_waits__passes(files: FileGate, *, is_listed: bool) -> None:
    """Nova rebuilds a guest here quicker than the leader can read of it and give it back."""
    files.permits.protect(frozenset({GUEST}))
    mark_permits_may_come(files)
    lock = files.folders.run_dir / "permits" / ".lock"
    lock.touch()
    with subprocess.Popen(
        [files.hooks / "qemu", "web", "prepare", "begin", "-"], stdin=subprocess.PIPE, env={}
    ) as hook:
        assert hook.stdin is not None
        hook.stdin.write(XML.encode())
        hook.stdin.close()
        # The second time that it opens the lock it has looked in vain once, and has waited.
        for _ in range(2):
            wait_until_opened(lock, hook)
        assert hook.poll() is None

        if is_listed:
            files.permits.give(GUEST, 1)
        else:
            files.permits.protect(frozenset())

        assert 0 == hook.wait(DEADLINE_S)


def test_hook__no_permit_comes__refuses_after_a_while(files: FileGate) -> None:
    """A late order for a guest that lives elsewhere."""
    files.permits.protect(frozenset({GUEST}))
    mark_permits_may_come(files)

    assert 1 == files.run("prepare").returncode
    assert frozenset({GUEST}) == files.permits.take_refused()


def test_withdraw__hook_is_stopped_with_the_lock__is_uncertain(files: FileGate) -> None:
    """A hook that may have read its permit already could still pass."""
    files.permits.give(GUEST, 1)
    with subprocess.Popen(
        ["flock", str(files.folders.run_dir / "permits" / ".lock"), "sh", "-c", "echo; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()

        assert not files.permits.withdraw(GUEST)

        holder.communicate()
    assert frozenset() == files.permits.held()


def test_install__hook_of_somebody_else__is_kept(tmp_path: Path) -> None:
    """The gate goes beside it."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "qemu").write_text("#!/bin/sh\nexit 0\n")
    folders = HostFolders(run_dir=tmp_path / "run", state_dir=tmp_path / "state")

    assert install_hook(hooks, folders, tmp_path / "boot_id")

    assert "#!/bin/sh\nexit 0\n" == (hooks / "qemu").read_text()
    assert hooks / "qemu.d" / "hamon" == hook_files(hooks, folders, tmp_path / "boot_id")[1].path


def test_install__again__changes_nothing(files: FileGate) -> None:
    """Installing twice is no reason to restart libvirtd; a changed hook is not installed."""
    where = (files.hooks, files.folders, files.boot_id_file)
    assert not install_hook(*where)
    assert is_hook_installed(*where)

    (files.hooks / "qemu").write_text("#!/bin/sh\nexit 0\n")

    assert not is_hook_installed(*where)


@pytest.mark.parametrize("has_foreign", [False, True])
def test_uninstall__whatever_was_protected__leaves_no_gate_and_the_list(
    tmp_path: Path, *, has_foreign: bool
) -> None:
    """Without an agent a gate would refuse for ever; installed again it knows what it knew."""
    files = FileGate(tmp_path)
    files.permits.protect(frozenset({GUEST}))
    foreign = "#!/bin/sh\nexit 0\n"
    if has_foreign:
        (files.hooks / "qemu").write_text(foreign)
        install_hook(files.hooks, files.folders, files.boot_id_file)

    assert uninstall_hook(files.hooks, files.folders)

    left = [path for path in files.hooks.rglob("*") if path.is_file()]
    assert ([files.hooks / "qemu"] if has_foreign else []) == left
    assert not has_foreign or foreign == (files.hooks / "qemu").read_text()
    assert not (files.folders.state_dir / "qemu_hook.py").exists()
    assert not uninstall_hook(files.hooks, files.folders)
    install_hook(files.hooks, files.folders, files.boot_id_file)
    assert frozenset({GUEST}) == files.permits.protected()
