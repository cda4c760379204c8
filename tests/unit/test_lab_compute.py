"""nova-compute of the lab starts as systemd would start it: after the gate, or not at all."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.openstack import programs
from lab.openstack.api import without_password

DEADLINE_S = 20.0

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start nova-compute behind a gate; what both print is the process's output."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, line in (("mkdir", ":"), ("virsh", ":"), ("nova-compute", "echo started")):
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)

    def begin(*gate: str) -> subprocess.Popen[str]:
        service = programs.compute(tmp_path, has_libvirt=True, gate=gate)
        return subprocess.Popen(
            service.argv, env={"PATH": str(folder)}, stdout=subprocess.PIPE, text=True
        )

    return begin


def test_compute__gate_opens__starts(start: Start) -> None:
    """What comes before nova-compute has ended well."""
    compute = start("/bin/sh", "-c", "echo open")

    assert ("open\nstarted\n", 0) == (
        compute.communicate(timeout=DEADLINE_S)[0],
        compute.returncode,
    )


def test_compute__gate_fails__does_not_start(start: Start) -> None:
    """This boot was given up for dead: nothing is started in it."""
    compute = start("/bin/sh", "-c", "echo shut; exit 1")

    assert ("shut\n", 1) == (compute.communicate(timeout=DEADLINE_S)[0], compute.returncode)


def test_compute__without_a_gate__starts(start: Start) -> None:
    """A lab without hamon."""
    compute = start()

    assert ("started\n", 0) == (compute.communicate(timeout=DEADLINE_S)[0], compute.returncode)


def test_compute__stopped_at_the_gate__stops_the_gate_too(start: Start) -> None:
    """No gate is left that would speak of a start that nobody waits for."""
    compute = start("/bin/sh", "-c", "echo waiting; exec /bin/sleep 600")
    assert compute.stdout is not None
    assert "waiting\n" == compute.stdout.readline()

    compute.terminate()

    # Its output ends when the last process that holds it has.
    assert ("", 1) == (compute.communicate(timeout=DEADLINE_S)[0], compute.returncode)


def test_without_password__said_in_an_error__is_hidden() -> None:
    """Errors end up in logs and in reports of tests."""
    said = "mysql+pymysql://lab:secret@cloud/nova: --bootstrap-password=secret: exit 1"

    assert "secret" not in without_password(said, "secret")
