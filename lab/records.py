"""What is remembered of the labs of this checkout, and how one of them is removed whole."""

import contextlib
import fcntl
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab import network
from lab.machine import Machine
from lab.names import LABS, SLOTS, LabError, Layout, MachineName, valid_lab_name
from lab.processes import kill_session, read_record, wait_until

MACHINE_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def names() -> list[str]:
    """The labs of this checkout, also half-made ones."""
    return sorted(file.parent.name for file in LABS.glob("*/lab.json"))


def remove(name: str) -> None:
    """Take a lab down and remove all that it made. Idempotent, also for half-made labs.

    Raises:
        LabError: a process would not die, or a folder would not unmount.
    """
    saved = saved_of(valid_lab_name(name))
    if saved is None:
        return
    layout = Layout(lab=name, slot=saved["slot"])
    same_boot = saved["machine_boot_id"] == MACHINE_BOOT_ID.read_text().strip()
    layout.closing.touch()
    if same_boot:
        _kill_recorded(layout)
        # By identity: a namespace of that name that another checkout made is not ours.
        for namespace, identity in saved["namespaces"].items():
            if identity is None or network.namespace_identity(namespace) == identity:
                network.remove_namespace(namespace)
        if _mounted(layout.state):
            wait_until(lambda: _unmounted(layout.state), f"{layout.state} unmounted", 10.0)
    # The record goes last: whatever is interrupted can be repeated.
    for entry in layout.folder.iterdir():
        if entry.name != "lab.json":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    shutil.rmtree(layout.folder)
    _remove_empty_folders()


@contextlib.contextmanager
def _all_labs_locked() -> Iterator[None]:
    LABS.mkdir(exist_ok=True)
    with (LABS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def take_name(name: str) -> Layout:
    """Take a name, and the first slot that is free.

    Raises:
        LabError: the name is taken, or every slot is.
    """
    with _all_labs_locked():
        if saved_of(name) is not None:
            raise LabError(f"lab {name!r} exists: `python -m lab --name {name} down` removes it")
        taken = {saved["slot"] for other in names() if (saved := saved_of(other))}
        slot = next((slot for slot in range(SLOTS) if slot not in taken), None)
        if slot is None:
            raise LabError(f"there are {SLOTS} labs already")
        layout = Layout(lab=name, slot=slot)
        for folder in (layout.state, layout.processes, layout.secrets):
            folder.mkdir(parents=True, exist_ok=True)
        layout.secrets.chmod(0o700)
        boot_id = MACHINE_BOOT_ID.read_text().strip()
        _write(layout, {"slot": slot, "machine_boot_id": boot_id, "namespaces": {}})
        return layout


def add_namespace(layout: Layout, namespace: str) -> None:
    """Make a named network namespace that goes with its lab.

    Raises:
        LabError: there is one of that name.
    """
    if network.namespace_identity(namespace) is not None:
        raise LabError(f"the network namespace {namespace} exists and is not of this lab")
    # Noted first, so that an interrupted lab can be removed whole.
    save(layout, {"namespaces": {namespace: None}})
    save(layout, {"namespaces": {namespace: network.add_namespace(namespace)}})


def saved_of(name: str) -> dict[str, Any] | None:
    """What is remembered of a lab, None: there is none of that name."""
    try:
        saved: dict[str, Any] = json.loads((LABS / name / "lab.json").read_text())
    except FileNotFoundError:
        return None
    return saved


def save(layout: Layout, more: dict[str, Any]) -> None:
    """Remember more of a lab; its namespaces are added to those that are known."""
    saved = saved_of(layout.lab)
    assert saved is not None
    namespaces = saved["namespaces"] | more.get("namespaces", {})
    _write(layout, saved | more | {"namespaces": namespaces})


def _write(layout: Layout, saved: dict[str, Any]) -> None:
    new = layout.folder / "lab.json.new"
    new.write_text(json.dumps(saved, indent=2) + "\n")
    new.rename(layout.folder / "lab.json")


def _kill_recorded(layout: Layout) -> None:
    # BMCs first: one that lives can still switch a host on.
    for record in (*layout.processes.glob("*-bmc*"), *layout.processes.glob("*-link")):
        process = read_record(record)
        if process is not None:
            kill_session(process)
    for switch in layout.processes.glob("*-switch"):
        machine, _, _ = switch.name.partition("-")
        Machine(layout=layout, name=MachineName.parse(machine)).power_cut()


def _mounted(folder: Path) -> bool:
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(mount.split()[4] == str(folder) for mount in mounts)


def _unmounted(folder: Path) -> bool:
    # A namespace that is just ending can hold it for a moment.
    subprocess.run(["umount", str(folder)], capture_output=True, check=False)
    return not _mounted(folder)


def _remove_empty_folders() -> None:
    with _all_labs_locked():
        if not names() and {entry.name for entry in LABS.iterdir()} <= {"lock", "cache"}:
            (LABS / "lock").unlink()
    with contextlib.suppress(OSError):
        LABS.rmdir()
