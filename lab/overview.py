"""What there is to see of a lab's machines, as plain data."""

from typing import Any

from lab import network
from lab.bmc import Bmc
from lab.machine import Machine
from lab.names import PLANES_OF_ROLE, Layout, Plane, Role


def described(
    layout: Layout, machines: tuple[Machine, ...], bmcs: tuple[Bmc, ...]
) -> dict[str, dict[str, Any]]:
    """Each machine by its name: power, planes, processes, and a host's BMC."""
    cuts = network.cuts(layout)
    found = {str(machine.name): _machine(layout, machine, cuts) for machine in machines}
    for device in bmcs:
        found[str(device.host)]["bmc"] = str(device.fault())
    return found


def _machine(
    layout: Layout, machine: Machine, cuts: dict[str, network.Direction]
) -> dict[str, Any]:
    planes = {}
    for plane in Plane:
        if plane in PLANES_OF_ROLE[machine.name.role] or machine.name.role is Role.HOST:
            cut = cuts.get(network.port_name(machine.name, plane))
            planes[str(plane)] = {
                "address": layout.address(machine.name, plane),
                "cut": str(cut) if cut else None,
            }
    return {
        "role": str(machine.name.role),
        "powered": machine.powered(),
        "product_uuid": str(layout.product_uuid(machine.name)),
        "planes": planes,
        "processes": machine.processes(),
    }
