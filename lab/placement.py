"""Brings the guests of a demonstration or benchmark to known hosts, under hamon's protection."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from lab import deployment
from lab.lab import Lab
from lab.machine import Machine
from lab.names import LabError
from lab.observer import Observer
from lab.processes import wait_until

BOOT_TIMEOUT_S = 180.0
ADOPTION_TIMEOUT_S = 60.0

Placement = Mapping[str, Sequence[str]]
"""The guests of each host, by name."""


def place(lab: Lab, placement: Placement, watching: Observer) -> None:
    """Define and start guests; return when all write to their disks and hamon protects them.

    Raises:
        LabError: libvirt refused, a guest does not write, or hamon does not protect it in time.
    """
    for host, guests in placement.items():
        for guest in guests:
            lab.guests.define(guest, lab.host(host))
    start(lab, placement)
    wait_writing(placement, watching)
    wait_protected(lab, placement)


def start(lab: Lab, placement: Placement) -> None:
    """Start defined guests, on all hosts at once.

    Raises:
        LabError: libvirt refused.
    """
    _on_each(lab, placement, "start")


def remove(lab: Lab, placement: Placement) -> None:
    """Destroy and undefine guests, on all hosts at once; return when hamon has let them go.

    Raises:
        LabError: libvirt refused, or hamon still counts one as a host's.
    """
    _on_each(lab, placement, "destroy")
    _on_each(lab, placement, "undefine")
    leading = _leader(lab)

    def is_forgotten() -> bool:
        return not any(
            entry["name"] in guests
            for host, guests in placement.items()
            for entry in deployment.ask(leading, "host", host=host)["guests"]
        )

    wait_until(is_forgotten, "hamon has let the removed guests go", ADOPTION_TIMEOUT_S)


def destroy(lab: Lab, placement: Placement) -> None:
    """Cut the power of guests, on all hosts at once.

    Raises:
        LabError: libvirt refused.
    """
    _on_each(lab, placement, "destroy")


def wait_writing(placement: Placement, watching: Observer) -> None:
    """Wait until every guest writes to its disk.

    Raises:
        LabError: one does not within `BOOT_TIMEOUT_S`.
    """
    names = [guest for guests in placement.values() for guest in guests]
    if not watching.wait_for(lambda o: all(map(o.writing, names)), BOOT_TIMEOUT_S):
        silent = " ".join(name for name in names if not watching.writing(name))
        raise LabError(f"no write to the disk of {silent} within {BOOT_TIMEOUT_S:g} s")


def wait_protected(lab: Lab, placement: Placement) -> None:
    """Wait until hamon would rebuild every guest if its host died.

    Raises:
        LabError: not within `ADOPTION_TIMEOUT_S`.
    """
    leading = _leader(lab)

    def is_protected() -> bool:
        for host, guests in placement.items():
            entries = deployment.ask(leading, "host", host=host)["guests"]
            owned = {
                entry["name"]
                for entry in entries
                if (entry["owner"], entry["grant"], entry["wanted"]) == (host, "running", "running")
            }
            if not owned.issuperset(guests):
                return False
        return True

    wait_until(is_protected, "every guest protected by hamon", ADOPTION_TIMEOUT_S)


def found_on(lab: Lab, hosts: Sequence[Machine]) -> dict[str, list[str]]:
    """Where guests run, as libvirt on each host tells."""
    return {
        str(host.name): sorted(
            name for name, state in lab.guests.on_host(host).items() if state == "running"
        )
        for host in hosts
    }


def _on_each(lab: Lab, placement: Placement, verb: str) -> None:
    """Give one virsh of each host all its commands: eight of them would fight for the cores."""

    def give(item: tuple[str, Sequence[str]]) -> None:
        host, guests = item
        if guests:
            commands = "; ".join(f"{verb} {guest}" for guest in guests)
            lab.host(host).run(["virsh", "-q", commands], deadline_s=BOOT_TIMEOUT_S)

    with ThreadPoolExecutor(max_workers=len(placement)) as pool:
        list(pool.map(give, placement.items()))


def _leader(lab: Lab) -> Machine:
    leading = deployment.leader(lab.daemons)
    if leading is None:
        raise LabError("no daemon leads")
    return leading
