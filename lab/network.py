"""The planes of a lab: bridges in a namespace of their own, and cables that can be cut."""

import ctypes
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from lab.names import PREFIX_LENGTH, LabError, Layout, MachineName, Plane
from lab.processes import run

NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000

# A cut drops frames on the switch: both ends keep their carrier, as behind a broken switch.
_RULES = """
table bridge hamonlab {
  set cut_from { type ifname; }
  set cut_to { type ifname; }
  set cut_between { type ifname . ifname; }
  chain forward {
    type filter hook forward priority 0
    iifname @cut_from drop
    oifname @cut_to drop
    iifname . oifname @cut_between drop
  }
}
"""


class Direction(StrEnum):
    """Which way a cut plane carries nothing, seen from the machine."""

    BOTH = "both"
    OUT = "out"
    IN = "in"


def port_name(machine: MachineName, plane: Plane) -> str:
    """The switch's end of a machine's cable."""
    return f"{machine}-{plane}"


def namespace_identity(name: str) -> int | None:
    """The inode of a named network namespace, or None if there is none of that name."""
    try:
        return (NAMESPACES / name).stat().st_ino
    except FileNotFoundError:
        return None


def add_namespace(name: str) -> int:
    """Make a named network namespace with loopback up and return its identity.

    Raises:
        LabError: the name is taken, by a lab of another checkout or a half-made one.
    """
    if namespace_identity(name) is not None:
        raise LabError(f"the network namespace {name} exists and is not of this lab")
    run(["ip", "netns", "add", name])
    run(["ip", "-n", name, "link", "set", "lo", "up"])
    identity = namespace_identity(name)
    assert identity is not None
    return identity


def remove_namespace(name: str) -> None:
    """Remove a named network namespace with all links in it. Idempotent."""
    if namespace_identity(name) is not None:
        run(["ip", "netns", "delete", name])


def build_switch(layout: Layout) -> None:
    """Put the bridge of each plane and the empty table of cuts into the switch's namespace."""
    for plane in Plane:
        run(["ip", "-n", layout.switch, "link", "add", f"br-{plane}", "type", "bridge"])
        run(["ip", "-n", layout.switch, "link", "set", "dev", f"br-{plane}", "up"])
    _nft(layout, _RULES)


def plug(layout: Layout, machine: MachineName, plane: Plane, namespace: str) -> None:
    """Run a cable from a namespace to the switch; the far end is named after the plane.

    Args:
        layout: names of the lab.
        machine: whose cable; on the BMC plane it is that of a host's BMC.
        plane: the bridge it goes to.
        namespace: a named network namespace, or the pid of a process in one.
    """
    port = port_name(machine, plane)
    switch = ["ip", "-n", layout.switch, "link"]
    # The cable of an earlier power-on may still be on its way out with its namespace.
    subprocess.run([*switch, "delete", port], capture_output=True, check=False)
    # A machine keeps its MAC addresses over a power cut, as hardware does: else its neighbours
    # would go on talking to the old one for as long as they remember it.
    far_end = ["name", str(plane), "address", _mac(layout, machine, plane), "netns", namespace]
    run([*switch, "add", port, "type", "veth", "peer", *far_end])
    run([*switch, "set", "dev", port, "master", f"br-{plane}", "up"])


def give_address(layout: Layout, machine: MachineName, plane: Plane, namespace: str) -> None:
    """Give the end of a cable in a named namespace its address, and bring it up."""
    address = f"{layout.address(machine, plane)}/{PREFIX_LENGTH}"
    run(["ip", "-n", namespace, "address", "add", address, "dev", str(plane)])
    run(["ip", "-n", namespace, "link", "set", "dev", str(plane), "up"])


def cut(
    layout: Layout, machine: MachineName, plane: Plane, direction: Direction = Direction.BOTH
) -> None:
    """Drop what passes between a machine and a plane. Idempotent; other cuts of it end."""
    restore(layout, machine, plane)
    port = port_name(machine, plane)
    for name in _sets(direction):
        _nft(layout, f"add element bridge hamonlab {name} {{ {json.dumps(port)} }}")


def restore(layout: Layout, machine: MachineName, plane: Plane) -> None:
    """Let a plane carry everything again. Idempotent."""
    port = port_name(machine, plane)
    for name in _sets(Direction.BOTH):
        # Added first, because the deletion of an absent element is an error.
        element = f"element bridge hamonlab {name} {{ {json.dumps(port)} }}"
        _nft(layout, f"add {element}\ndelete {element}")


def cut_between(layout: Layout, one: MachineName, other: MachineName, plane: Plane) -> None:
    """Drop what passes between two machines on a plane, both ways. Idempotent."""
    _nft(layout, f"add {_pairs(one, other, plane)}")


def restore_between(layout: Layout) -> None:
    """Let all machines hear each other again. Idempotent."""
    _nft(layout, "flush set bridge hamonlab cut_between")


def cuts(layout: Layout) -> dict[str, Direction]:
    """The cut ports of the switch, with the direction."""
    listing = json.loads(run(in_switch(layout, ["nft", "-j", "list", "ruleset"])))
    cut_ports: dict[str, set[str]] = {"cut_from": set(), "cut_to": set()}
    for entry in listing["nftables"]:
        if entry.get("set", {}).get("name") in cut_ports:
            cut_ports[entry["set"]["name"]] = set(entry["set"].get("elem", []))
    out, into = cut_ports["cut_from"], cut_ports["cut_to"]
    found = dict.fromkeys(out & into, Direction.BOTH)
    found |= dict.fromkeys(out - into, Direction.OUT)
    found |= dict.fromkeys(into - out, Direction.IN)
    return found


@contextmanager
def inside(namespace_file: Path) -> Iterator[None]:
    """Put the calling thread into a network namespace, for example `/proc/<pid>/ns/net`.

    Threads started inside stay there; the caller returns to where it was.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(namespace_file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(there, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace_file}")
        try:
            yield
        finally:
            if libc.setns(home, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns home")
    finally:
        os.close(there)
        os.close(home)


def has_link(namespace: str, name: str) -> bool:
    """Whether a named namespace has a link of that name."""
    shown = subprocess.run(
        ["ip", "-n", namespace, "link", "show", "dev", name], capture_output=True, check=False
    )
    return shown.returncode == 0


def in_switch(layout: Layout, argv: list[str]) -> list[str]:
    """The command that runs another one in the switch's namespace."""
    return ["nsenter", f"--net={NAMESPACES / layout.switch}", *argv]


def _mac(layout: Layout, machine: MachineName, plane: Plane) -> str:
    """A locally administered MAC address, made from the address on the plane."""
    octets = (int(part) for part in layout.address(machine, plane).split("."))
    return ":".join(f"{octet:02x}" for octet in (0x02, 0x4C, *octets))


def _sets(direction: Direction) -> tuple[str, ...]:
    match direction:
        case Direction.BOTH:
            return ("cut_from", "cut_to")
        case Direction.OUT:
            return ("cut_from",)
        case Direction.IN:
            return ("cut_to",)


def _pairs(one: MachineName, other: MachineName, plane: Plane) -> str:
    """Both ways between two machines, as an element for nft."""
    a, b = (json.dumps(port_name(machine, plane)) for machine in (one, other))
    return f"element bridge hamonlab cut_between {{ {a} . {b}, {b} . {a} }}"


def _nft(layout: Layout, script: str) -> None:
    run(in_switch(layout, ["nft", "-f", "-"]), text=script)
