"""The gate in front of every guest start: what libvirt's ``qemu`` hook runs. Standard library only.

A stand-alone script: ``install_hook`` (hook_files.py) copies it beside libvirt's hook and writes
the hook, a few lines of shell that call it for ``prepare`` and ``migrate`` and exit 0 for the rest.

Called with three folders or files of this host and then libvirt's own arguments::

    run_dir state_dir boot_id_file  guest_name operation sub_operation extra   < domain XML

Exit 0 lets libvirt go on, exit 1 makes it refuse the start.
"""

from __future__ import annotations

import fcntl
import json
import signal
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from uuid import UUID

OPT_OUT = "metadata/{urn:hamon:guest:1}guest[@protect='no']"
LOCK_WITHIN_S = 10
"""For how long the agent may hold the lock before a start is refused."""


PERMIT_WITHIN_S = 4.0
"""How long a start waits for a permit that may come. libvirt does not list its guests meanwhile,
and the agent waits five seconds for that list (``libvirt.call_timeout_s``)."""

LOOK_EVERY_S = 0.1


class RefusedError(Exception):
    """The start is refused; the message goes to whoever asked libvirt for it."""


def main(arguments: list[str], definition: bytes) -> int:
    """Answer one call of libvirt.

    Returns:
        1 only for a refused ``prepare``; 0 otherwise, whatever happens.
    """
    run_dir, state_dir, boot_id_file = (Path(text) for text in arguments[:3])
    name, operation = arguments[3], arguments[4]
    # safety: libvirt calls the hook for what already runs, too, and a failing `reconnect` (libvirtd
    # was restarted) kills the running guest. Only `prepare` comes before a start, and every start
    # has one: boot, restore, incoming migration. So only `prepare` may ever be refused.
    if operation == "migrate":
        _announce_incoming(run_dir, definition)
        return 0
    if operation != "prepare":
        return 0
    try:
        _admit(run_dir, state_dir, boot_id_file, definition)
    except RefusedError as refusal:
        sys.stderr.write(f"hamon: start of {name} refused: {refusal}\n")
        return 1
    except OSError as error:
        # safety: what cannot be read may be a missing permit, so it counts as one. Unprotected
        # guests get here only when the list of protected ones cannot be read either.
        sys.stderr.write(f"hamon: start of {name} refused: {error}\n")
        return 1
    return 0


def _admit(run_dir: Path, state_dir: Path, boot_id_file: Path, definition: bytes) -> None:
    """Return if the guest may start, and note the passage of a protected one.

    Raises:
        RefusedError: it is protected, or may be, and has no permit of this boot.
        OSError: a file could not be read or written.
    """
    protected = _protected(state_dir)
    domain = _parse(definition)
    if domain is None:
        # safety: libvirt writes this XML itself; when it cannot be read nobody can say which guest
        # this is. On a host without protected guests it cannot be one. Else it may be, and a
        # refused start costs a look into the log, a wrong one a disk.
        if protected:
            raise RefusedError("libvirt's XML cannot be read, and protected guests live here")
        if protected is None:
            raise RefusedError("neither libvirt's XML nor the list of protected guests can be read")
        return
    guest, has_opted_out = domain
    if protected is None:
        # safety: the list is made when the hook is installed, so a missing one was lost, and any
        # guest may have been in it; but for those that say themselves that hamon must not care.
        if has_opted_out:
            return
        raise RefusedError(f"{state_dir}/protected is missing: run `hamon agent install-hook`")
    if guest not in protected:
        return
    boot_id = boot_id_file.read_text().strip()
    give_up_s = time.monotonic() + _patience_s(run_dir, boot_id)
    while not _passes(run_dir, guest, boot_id):
        if time.monotonic() >= give_up_s:
            _note_refused(run_dir, guest)
            raise RefusedError(
                "hamon holds no permit for it on this host in this boot; it may run elsewhere"
                f" (`hamon explain`, guest {guest})"
            )
        time.sleep(LOOK_EVERY_S)
        listed = _protected(state_dir)
        # safety: only Nova's guests are waited for. One that left the list was given back to this
        # host, and libvirt did not define it yet when it last told: it starts as any new one.
        if listed is not None and guest not in listed:
            return


def _passes(run_dir: Path, guest: str, boot_id: str) -> bool:
    """Note the passage of a guest that has a permit, or arrives alive; False: it may not pass."""
    with (run_dir / "permits" / ".lock").open("w") as lock:
        _lock(lock.fileno())
        if not _has_permit(run_dir, guest, boot_id) and not _is_incoming(run_dir, guest, boot_id):
            return False
        # safety: noted before libvirt goes on, and under the lock that a withdrawal takes: whoever
        # withdraws either removes the permit first (refused above) or finds this note.
        note = run_dir / "passed" / guest
        note.write_text(boot_id)
        return True


def _patience_s(run_dir: Path, boot_id: str) -> float:
    """Return how long a permit is worth waiting for.

    Nova may send a guest back to a host that still refuses it. The leader gives it back when it
    reads of that, and a quick rebuild gets here first.
    """
    return PERMIT_WITHIN_S if _is_marked(run_dir / "permits-may-come", boot_id) else 0.0


def _note_refused(run_dir: Path, guest: str) -> None:
    """Leave word for the agent's log: who asked libvirt may be a queue that tells nobody."""
    try:
        (run_dir / "refused" / guest).touch()
    except OSError as error:
        sys.stderr.write(f"hamon: refusal not noted: {error}\n")


def _protected(state_dir: Path) -> frozenset[str] | None:
    """List the protected guests; None when there is no list."""
    try:
        return frozenset(path.name for path in (state_dir / "protected").iterdir())
    except OSError:
        return None


def _parse(definition: bytes) -> tuple[str, bool] | None:
    """Read a guest's uuid, and whether its definition opts out; None if it cannot be read."""
    try:
        root = ET.fromstring(definition)  # noqa: S314 - written by libvirt on this host
        return str(UUID(root.findtext("uuid", ""))), root.find(OPT_OUT) is not None
    except (ET.ParseError, ValueError):
        return None


def _lock(descriptor: int) -> None:
    # An agent stopped while it holds the lock must not hang libvirt's worker for ever: the alarm
    # ends this process, and libvirt reads that as a refusal.
    signal.alarm(LOCK_WITHIN_S)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    signal.alarm(0)


def _has_permit(run_dir: Path, guest: str, boot_id: str) -> bool:
    try:
        permit = json.loads((run_dir / "permits" / guest).read_text())
        return bool(permit["boot_id"] == boot_id)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _is_incoming(run_dir: Path, guest: str, boot_id: str) -> bool:
    """Say whether a live migration of the guest announced itself to a host in service.

    safety: a live migration comes with its own exclusion: the source's libvirt hands the running
    guest over and ends its own process. In service means that the leader's word for this boot was
    LIVE when last read, so no evacuation from here is open.
    """
    marks = (run_dir / "incoming" / guest, run_dir / "in-service")
    return all(_is_marked(mark, boot_id) for mark in marks)


def _is_marked(mark: Path, boot_id: str) -> bool:
    return mark.exists() and mark.read_text().strip() == boot_id


def _announce_incoming(run_dir: Path, definition: bytes) -> None:
    """Note that a live migration of this guest arrives; never fails (the start is asked apart)."""
    domain = _parse(definition)
    try:
        if domain is not None:
            service = (run_dir / "in-service").read_text()
            (run_dir / "incoming" / domain[0]).write_text(service)
    except OSError as error:
        sys.stderr.write(f"hamon: incoming migration not noted: {error}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin.buffer.read()))
