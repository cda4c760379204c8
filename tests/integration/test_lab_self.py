"""The lab shows what it must be able to show, or no test that stands on it proves anything."""

import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import network, records
from lab.bmc import Fault
from lab.lab import Lab
from lab.names import LABS, PROJECT, Plane
from lab.observer import read_current, read_rings
from lab.processes import process_of, wait_until

pytestmark = pytest.mark.integration

BOOT_TIMEOUT_S = 120.0
DEADLINE_S = 20.0


def unused_name() -> str:
    """A lab name that no other run on this machine has."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="module")
def whole_lab() -> Iterator[Lab]:
    """One lab for all tests of this file."""
    name = unused_name()
    try:
        yield Lab.create(name, controllers=1, hosts=2, daemons=0)
    finally:
        records.remove(name)


@pytest.fixture
def lab(whole_lab: Lab) -> Lab:
    """The lab, repaired, without guests."""
    whole_lab.repair(remove_guests=True)
    return whole_lab


def power(lab: Lab, host: str) -> str:
    """What `ipmitool chassis power status` prints about a host, or its error."""
    answer = lab.bmc(host).ipmitool("chassis", "power", "status")
    return (answer.stdout if answer.returncode == 0 else answer.stderr).strip()


def reaches(lab: Lab, source: str, target: str, plane: Plane) -> bool:
    """Whether one machine gets an answer to a ping from another's address on a plane."""
    address = lab.layout.address(lab.machine(target).name, plane)
    argv = lab.machine(source).exec_argv(["busybox", "ping", "-c", "1", "-W", "1", address])
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def traces(name: str) -> set[str]:
    """Everything on this machine that bears a lab's name or lies in its folder."""
    folder = f"/.lab/{name}"
    found = {space.name for space in network.NAMESPACES.glob(f"hamon-{name}-*")}
    found |= {line for line in Path("/proc/mounts").read_text().splitlines() if folder in line}
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            command = (process / "cmdline").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if folder in command or f"hamon-{name}-" in command:
            found.add(command)
    found |= {str(path) for path in (LABS / name).glob("**/*")}
    return found


def links_here() -> set[str]:
    """The network links of this process's namespace, bridges among them."""
    links = json.loads(subprocess.check_output(["ip", "-j", "link"]))
    return {link["ifname"] for link in links}


def test_process__killed_and_started_at_once__is_another(lab: Lab) -> None:
    """A start that found the killed one would be none, and its test one of nothing."""
    host = lab.host("h1")
    before = host.processes()["virtlogd"]["pid"]

    host.signal_process("virtlogd", signal.SIGKILL)
    host.start_service("virtlogd")

    after = host.processes()["virtlogd"]
    assert after["state"] == "running"
    assert after["pid"] not in {before, None}


def test_guest__started_once__is_seen_writing_by_one_boot(lab: Lab) -> None:
    """A guest that runs once writes, and is no double writer."""
    with lab.observer() as watching:
        lab.guests.force_start("solo", lab.host("h1"))

        assert watching.wait_for(lambda o: o.writing("solo"), BOOT_TIMEOUT_S)
        first = watching.last("solo")
        assert first is not None
        assert watching.wait_for(
            lambda o: o.sightings("solo")[-1].record.counter > first.record.counter + 5, DEADLINE_S
        )
        assert watching.boots("solo") == [first.record.boot_id]
        assert watching.double_writers() == {}


@pytest.mark.fault("F48")
def test_guest__started_on_two_hosts__is_seen_as_double_writer(lab: Lab) -> None:
    """A guest that runs twice is seen, while it happens and from its disk afterwards."""
    with lab.observer() as watching:
        lab.guests.force_start("twice", lab.host("h1"))
        assert watching.wait_for(lambda o: o.writing("twice"), BOOT_TIMEOUT_S)

        lab.guests.force_start("twice", lab.host("h2"))

        assert watching.wait_for(lambda o: "twice" in o.double_writers(), BOOT_TIMEOUT_S)
        # The first boot's record tells of the second's, which may have fallen between two looks.
        assert watching.wait_for(lambda o: len(set(o.boots("twice"))) == 2, BOOT_TIMEOUT_S)
    proofs = [r[-1] for r in read_rings(lab.guests.disk("twice")).values() if r[-1].foreign > 0]
    assert proofs


def test_power_cut__host_with_guest__nothing_lives_and_bmc_says_off(lab: Lab) -> None:
    """A power cut ends everything in the host at once; the next boot is another boot."""
    host = lab.host("h1")
    boot_id = host.boot_id()
    init = host.init_process()
    assert init is not None
    namespace = Path(f"/proc/{init.pid}/ns/pid").readlink()
    with lab.observer() as watching:
        lab.guests.force_start("cut", host)
        assert watching.wait_for(lambda o: o.writing("cut"), BOOT_TIMEOUT_S)

        host.power_cut()
        last = read_current(lab.guests.disk("cut"))

        assert processes_in(namespace) == []
        assert power(lab, "h1") == "Chassis Power is off"
        assert watching.wait_for(lambda o: not o.writing("cut"), DEADLINE_S)
        silent = watching.last("cut")
        assert silent is not None
        assert last == silent.record

        lab.guests.force_start("cut", lab.host("h2"))
        assert watching.wait_for(lambda o: len(o.boots("cut")) == 2, BOOT_TIMEOUT_S)
        assert watching.absences("cut")[0].downtime_s > 0
        assert watching.double_writers() == {}
    host.power_on()
    assert power(lab, "h1") == "Chassis Power is on"
    assert host.boot_id() != boot_id
    wait_until(lambda: answers_virsh(lab, "h1"), "libvirt on h1", DEADLINE_S)
    assert lab.guests.on_host(host) == {"cut": "shut off"}


def test_bmc__asked_for_off_and_on__switches_the_host(lab: Lab) -> None:
    """The BMC has real power over its host, also when nobody runs the lab's tool."""
    lab.bmc("h2").ipmitool("chassis", "power", "off")
    wait_until(lambda: not lab.host("h2").powered(), "h2 off", DEADLINE_S)
    assert power(lab, "h2") == "Chassis Power is off"

    lab.bmc("h2").ipmitool("chassis", "power", "on")
    wait_until(lambda: answers_virsh(lab, "h2"), "h2 on again", DEADLINE_S)
    # While its host boots a BMC may leave one question unanswered.
    wait_until(lambda: power(lab, "h2") == "Chassis Power is on", "the BMC says on", DEADLINE_S)


def test_bmc__dead__does_not_answer(lab: Lab) -> None:
    """A dead BMC is silence, not an answer."""
    lab.bmc("h1").behave(Fault.DEAD)

    assert "Unable to establish" in power(lab, "h1")


def test_bmc__refusing__answers_with_an_error(lab: Lab) -> None:
    """A refusing BMC switches nothing and says so."""
    lab.bmc("h1").behave(Fault.REFUSE)

    answer = lab.bmc("h1").ipmitool("chassis", "power", "off")

    assert answer.returncode != 0
    assert lab.host("h1").powered()


def test_bmc__slow__outlasts_a_short_time_out(lab: Lab) -> None:
    """A slow BMC does not answer within the two seconds of this ipmitool."""
    lab.bmc("h1").behave(Fault.SLOW)

    assert "Chassis Power is" not in power(lab, "h1")


@pytest.mark.parametrize(
    ("fault", "said"),
    [(Fault.LIE_OFF, "Chassis Power is off"), (Fault.IGNORE_OFF, "Chassis Power is on")],
)
def test_bmc__lying_about_a_live_host__says_so_while_it_lives(
    lab: Lab, fault: Fault, said: str
) -> None:
    """A BMC that says Off, or accepts off, while the host lives."""
    lab.bmc("h1").behave(fault)

    accepted = lab.bmc("h1").ipmitool(
        "chassis", "power", "off" if said.endswith("on") else "status"
    )

    assert accepted.returncode == 0
    assert power(lab, "h1") == said
    assert lab.host("h1").powered()


def test_bmc__lying_about_a_dead_host__says_on(lab: Lab) -> None:
    """A BMC that says On while the host is dead."""
    lab.bmc("h1").behave(Fault.LIE_ON)
    lab.host("h1").power_cut()

    assert power(lab, "h1") == "Chassis Power is on"


@pytest.mark.parametrize("plane", [Plane.MANAGEMENT, Plane.STORAGE])
def test_plane__cut_and_restored__carries_nothing_in_between(lab: Lab, plane: Plane) -> None:
    """A cut of one plane of one host stops that plane there and nothing else."""
    other = Plane.STORAGE if plane is Plane.MANAGEMENT else Plane.MANAGEMENT
    assert reaches(lab, "c1", "h1", plane)

    lab.cut("h1", plane)

    assert not reaches(lab, "c1", "h1", plane)
    assert reaches(lab, "c1", "h1", other)
    assert reaches(lab, "c1", "h2", plane)
    lab.restore("h1", plane)
    assert reaches(lab, "c1", "h1", plane)


def test_bmc_plane__asked_from_a_host__is_not_there(lab: Lab) -> None:
    """Only controllers reach the BMCs."""
    assert reaches(lab, "c1", "h1", Plane.BMC)
    assert not reaches(lab, "h2", "h1", Plane.BMC)
    lab.cut("h1", Plane.BMC)
    assert not reaches(lab, "c1", "h1", Plane.BMC)


def test_process__paused_and_killed__comes_back_by_repair(lab: Lab) -> None:
    """A service can be paused and killed, and repair undoes both."""
    lab_arguments = ["--name", lab.layout.lab, "process", "h1"]
    run_lab(*lab_arguments, "libvirtd", "pause")
    run_lab(*lab_arguments, "virtlogd", "kill")
    states = {name: p["state"] for name, p in lab.host("h1").processes().items()}
    assert states == {"virtlogd": "dead", "libvirtd": "paused"}

    lab.repair()

    states = {name: p["state"] for name, p in lab.host("h1").processes().items()}
    assert states == {"virtlogd": "running", "libvirtd": "running"}


def test_shutdown__orderly__ends_the_guests_and_switches_off(lab: Lab) -> None:
    """An orderly shutdown leaves nothing running and the machine off."""
    lab.host("h2").shut_down()

    assert not lab.host("h2").powered()
    assert power(lab, "h2") == "Chassis Power is off"


def test_second_lab__beside_the_first__shares_nothing_and_goes_without_trace(lab: Lab) -> None:
    """Two labs never meet, and what is taken down is gone: processes, mounts, namespaces, files."""
    name = unused_name()
    links_before = links_here()
    try:
        other = Lab.create(name, controllers=1, hosts=1, daemons=0)
        assert other.layout.slot != lab.layout.slot
        address = lab.layout.address(lab.host("h1").name, Plane.MANAGEMENT)
        with (
            network.inside(network.NAMESPACES / other.layout.switch),
            pytest.raises(OSError, match="unreachable"),
        ):
            socket.create_connection((address, 22), timeout=1.0)
        assert links_here() == links_before
        assert traces(name)
    finally:
        records.remove(name)

    assert traces(name) == set()
    assert links_here() == links_before
    assert lab.host("h1").powered()


def test_down__after_the_tool_was_killed_midway__leaves_nothing() -> None:
    """A lab whose `up` was killed with SIGKILL can still be removed whole, and twice."""
    name = unused_name()
    tool = subprocess.Popen(
        [sys.executable, "-m", "lab", "--name", name, "up", "--hosts", "1", "--controllers", "1"],
        cwd=PROJECT,
        stdout=subprocess.DEVNULL,
    )
    try:
        record = LABS / name / "processes" / "h1-unshare"
        wait_until(record.exists, "the first host being switched on", DEADLINE_S)
    finally:
        tool.kill()
        tool.wait()

    run_lab("--name", name, "down")
    run_lab("--name", name, "down")

    assert traces(name) == set()


def processes_in(namespace: Path) -> list[int]:
    """The pids of all processes in a PID namespace, zombies excepted."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            inside = (process / "ns" / "pid").readlink() == namespace
        except OSError:
            continue
        if inside and process_of(int(process.name)) is not None:
            found.append(int(process.name))
    return found


def answers_virsh(lab: Lab, host: str) -> bool:
    """Whether a host is on and its libvirtd lists domains."""
    if lab.host(host).init_process() is None:
        return False
    argv = lab.host(host).exec_argv(["virsh", "-q", "list"])
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def run_lab(*arguments: str) -> None:
    """Run the lab's command line."""
    subprocess.run([sys.executable, "-m", "lab", *arguments], cwd=PROJECT, check=True)
