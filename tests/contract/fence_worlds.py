"""The worlds in which every fence device keeps the same contract.

In memory, IPMI, Redfish, a fence-agents program, and a hook that takes storage away.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol
from uuid import UUID

from hamon.clock import SystemClock
from hamon.fencing.devices import DeviceBuilder
from hamon.model.host import FenceDeviceSpec, HostSpec, PlaneAddress
from hamon.model.names import host_name
from hamon.ports.fencing import FenceDevice
from hamon.sim.power import DeviceFault, SimulatedFenceDevice
from tests.contract import redfish_rig
from tests.contract.ipmi_rig import CIPHER, PASSWORD, PRODUCT_UUID, USERNAME, IpmiRig
from tests.contract.redfish_rig import SYSTEM, RedfishRig

CLOCK = SystemClock()
PLANES = (
    PlaneAddress(plane="management", address="192.0.2.11", port=7420),
    PlaneAddress(plane="storage", address="198.51.100.11", port=7420),
)


class World(Protocol):
    """One machine behind one device, and what can go wrong with it.

    For a hook, power is access to storage.
    """

    device: FenceDevice

    @property
    def is_on(self) -> bool:
        """Whether the machine has power in truth."""
        ...

    @property
    def identity(self) -> str:
        """Whom the device should answer for."""
        ...

    async def refuse_login(self) -> None:
        """Have the device refuse hamon's password."""
        ...

    def die(self) -> None:
        """Have nothing come back any more."""
        ...

    def lie(self, told_power: str) -> None:
        """Have the device tell "0" or "1" whatever is true."""
        ...

    def ignore_orders(self) -> None:
        """Have it take orders and do nothing."""
        ...

    def delay(self, delay_s: float) -> None:
        """Have it take this long for an answer."""
        ...


async def build(spec: FenceDeviceSpec, identity: str = "") -> FenceDevice:
    """Build a device the way the daemon does, for a machine of this uuid; "": it is not known."""
    (device,) = await DeviceBuilder(CLOCK, lambda _: identity).build(
        HostSpec(name=host_name("host-1"), planes=PLANES, fence=(spec,))
    )
    return device


def write_password(folder: Path, password: str) -> str:
    """Write a password file as an operator should; return its path."""
    path = folder / "password"
    path.write_text(password + "\n")
    path.chmod(0o400)
    return str(path)


class MemoryWorld:
    """The simulator's device."""

    identity = PRODUCT_UUID

    def __init__(self) -> None:
        self._machine = MemoryMachine()
        spec = FenceDeviceSpec(name="bmc", level=1, kind="ipmi", address="192.0.2.1")
        self._simulated = SimulatedFenceDevice(spec, self._machine, CLOCK)
        self.device: FenceDevice = self._simulated

    @property
    def is_on(self) -> bool:
        """See :class:`World`."""
        return self._machine.is_on

    async def refuse_login(self) -> None:
        """See :class:`World`."""
        self._simulated.faults.add(DeviceFault.REFUSING)

    def die(self) -> None:
        """See :class:`World`."""
        self._simulated.faults.add(DeviceFault.DEAD)

    def lie(self, told_power: str) -> None:
        """See :class:`World`."""
        lies = {"0": DeviceFault.LIES_OFF, "1": DeviceFault.LIES_ON}
        self._simulated.faults.add(lies[told_power])

    def ignore_orders(self) -> None:
        """See :class:`World`."""
        self._simulated.faults |= {DeviceFault.IGNORES_OFF, DeviceFault.IGNORES_ON}

    def delay(self, delay_s: float) -> None:
        """See :class:`World`."""
        self._simulated.delay_s = delay_s


class MemoryMachine:
    """A machine that is a flag."""

    product_uuid = PRODUCT_UUID

    def __init__(self) -> None:
        self.is_on = True

    def lose_power(self) -> None:
        """See :class:`hamon.sim.power.Machine`."""
        self.is_on = False

    def press_power(self) -> None:
        """See :class:`hamon.sim.power.Machine`."""
        self.is_on = True


class IpmiWorld:
    """IpmiDevice, ipmitool and ipmi_sim."""

    identity = str(UUID(PRODUCT_UUID))

    def __init__(self, rig: IpmiRig, folder: Path, device: FenceDevice) -> None:
        self._rig = rig
        self._folder = folder
        self.device = device

    @property
    def is_on(self) -> bool:
        """See :class:`World`."""
        return self._rig.is_on

    async def refuse_login(self) -> None:
        """See :class:`World`."""
        # Also shows that the password file is read again for each action.
        (self._folder / "password").unlink()
        write_password(self._folder, "not-the-one")

    def die(self) -> None:
        """See :class:`World`."""
        self._rig.stop()

    def lie(self, told_power: str) -> None:
        """See :class:`World`."""
        self._rig.tell_always(told_power)

    def ignore_orders(self) -> None:
        """See :class:`World`."""
        self._rig.ignore_orders()

    def delay(self, delay_s: float) -> None:
        """See :class:`World`."""
        self._rig.delay(delay_s)


class RedfishWorld:
    """RedfishDevice and a service of the test's own."""

    identity = redfish_rig.PRODUCT_UUID

    def __init__(self, rig: RedfishRig, device: FenceDevice) -> None:
        self._rig = rig
        self.device = device

    @property
    def is_on(self) -> bool:
        """See :class:`World`."""
        return self._rig.is_on

    async def refuse_login(self) -> None:
        """See :class:`World`."""
        self._rig.accepts = "another"

    def die(self) -> None:
        """See :class:`World`."""
        self._rig.stop()

    def lie(self, told_power: str) -> None:
        """See :class:`World`."""
        self._rig.told_power = {"0": "Off", "1": "On"}[told_power]

    def ignore_orders(self) -> None:
        """See :class:`World`."""
        self._rig.obeys = False

    def delay(self, delay_s: float) -> None:
        """See :class:`World`."""
        self._rig.delay_s = delay_s


AGENT = """\
#!/bin/sh
# A fence-agents program with a machine that is a file; keeps the contract of the API.
rig={rig}
while read -r line; do
    case "$line" in
    action=*) action=${{line#action=}} ;;
    password=*) password=${{line#password=}} ;;
    esac
done
if [ "$action" = metadata ]; then
    printf '<resource-agent name="rig"><parameters>'
    for name in action plug password; do
        printf '<parameter name="%s"><content type="string"/></parameter>' $name
    done
    printf '<parameter name="secure"><content type="boolean"/></parameter>'
    printf '</parameters><actions>'
    for name in on off status validate-all; do printf '<action name="%s"/>' $name; done
    printf '</actions></resource-agent>'
    exit 0
fi
[ "$action" = validate-all ] && exit 0
[ -e "$rig/dead" ] && sleep 60
[ -e "$rig/delay" ] && sleep "$(cat "$rig/delay")"
if [ "$password" != "$(cat "$rig/accepts")" ]; then
    echo "login denied: password=$password" >&2
    exit 1
fi
case "$action" in
off) [ -e "$rig/ignores" ] || echo 0 > "$rig/power"; echo "Success: Powered OFF" ;;
on) [ -e "$rig/ignores" ] || echo 1 > "$rig/power"; echo "Success: Powered ON" ;;
status)
    if [ "$(cat "$rig/told" 2>/dev/null || cat "$rig/power")" = 0 ]; then
        echo "Status: OFF"
        exit 2
    fi
    echo "Status: ON" ;;
*) exit 1 ;;
esac
"""


class AgentWorld:
    """FenceAgentDevice and a program that keeps the fence-agents contract."""

    identity = ""

    def __init__(self, folder: Path, device: FenceDevice) -> None:
        self._folder = folder
        self.device = device

    @property
    def is_on(self) -> bool:
        """See :class:`World`."""
        return (self._folder / "power").read_text().strip() == "1"

    async def refuse_login(self) -> None:
        """See :class:`World`."""
        (self._folder / "accepts").write_text("another")

    def die(self) -> None:
        """See :class:`World`."""
        (self._folder / "dead").touch()

    def lie(self, told_power: str) -> None:
        """See :class:`World`."""
        (self._folder / "told").write_text(told_power)

    def ignore_orders(self) -> None:
        """See :class:`World`."""
        (self._folder / "ignores").touch()

    def delay(self, delay_s: float) -> None:
        """See :class:`World`."""
        (self._folder / "delay").write_text(str(delay_s))


HOOK = """\
#!/bin/sh
# A hook that keeps the contract of docs/fencing.md; the storage is a file.
rig={rig}
env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= | sort > "$rig/environment"
[ -e "$rig/dead" ] && sleep 60
[ -e "$rig/delay" ] && sleep "$(cat "$rig/delay")"
secret=$(cat "$rig/secret")
if [ "$1" != --pool ] || [ "$2" != vms ] || [ "$secret" != right ]; then
    echo "permission denied" >&2
    exit 1
fi
case "$3" in
revoke) [ -e "$rig/ignores" ] || echo revoked > "$rig/access" ;;
restore) [ -e "$rig/ignores" ] || echo granted > "$rig/access" ;;
status) cat "$rig/told" 2>/dev/null || cat "$rig/access" ;;
*) exit 1 ;;
esac
"""


class StorageWorld:
    """RevocationDevice and a program that keeps the hook's contract."""

    identity = ""

    def __init__(self, folder: Path, device: FenceDevice) -> None:
        self._folder = folder
        self.device = device

    @property
    def is_on(self) -> bool:
        """See :class:`World`."""
        return (self._folder / "access").read_text() == "granted\n"

    async def refuse_login(self) -> None:
        """See :class:`World`."""
        (self._folder / "secret").write_text("wrong")

    def die(self) -> None:
        """See :class:`World`."""
        (self._folder / "dead").touch()

    def lie(self, told_power: str) -> None:
        """See :class:`World`."""
        (self._folder / "told").write_text({"0": "revoked", "1": "granted"}[told_power])

    def ignore_orders(self) -> None:
        """See :class:`World`."""
        (self._folder / "ignores").touch()

    def delay(self, delay_s: float) -> None:
        """See :class:`World`."""
        (self._folder / "delay").write_text(str(delay_s))


async def open_storage(folder: Path) -> StorageWorld:
    """Open a world with a host that has its storage."""
    program = folder / "hook"
    program.write_text(HOOK.format(rig=folder))
    program.chmod(0o755)
    (folder / "access").write_text("granted\n")
    (folder / "secret").write_text("right")
    spec = FenceDeviceSpec(
        name="hook",
        level=3,
        kind="storage",
        address="",
        program=str(program),
        arguments=("--pool", "vms"),
    )
    return StorageWorld(folder, await build(spec))


def a_redfish(port: int, certificate: Path, folder: Path) -> FenceDeviceSpec:
    """The system of a service on loopback, well configured."""
    return FenceDeviceSpec(
        name="bmc",
        level=1,
        kind="redfish",
        address="127.0.0.1",
        port=port,
        username=redfish_rig.USERNAME,
        password_file=write_password(folder, redfish_rig.PASSWORD),
        system=SYSTEM,
        ca_file=str(certificate),
    )


@contextlib.asynccontextmanager
async def open_redfish(folder: Path) -> AsyncIterator[tuple[RedfishRig, FenceDevice]]:
    """Start a service with a machine that is on, and a device for it; stop it at the end."""
    rig = RedfishRig(folder / "rig")
    try:
        spec = a_redfish(rig.port, rig.certificate, folder)
        yield rig, await build(spec, redfish_rig.PRODUCT_UUID)
    finally:
        rig.stop()


@contextlib.asynccontextmanager
async def open_world(kind: str, folder: Path) -> AsyncIterator[World]:
    """Open a world with a machine that is on; leave nothing of it behind."""
    if kind == "memory":
        yield MemoryWorld()
    elif kind == "ipmi":
        rig = IpmiRig(folder / "rig")
        try:
            spec = FenceDeviceSpec(
                name="bmc",
                level=1,
                kind="ipmi",
                address="127.0.0.1",
                port=rig.port,
                username=USERNAME,
                password_file=write_password(folder, PASSWORD),
                cipher=CIPHER,
            )
            yield IpmiWorld(rig, folder, await build(spec, PRODUCT_UUID))
        finally:
            rig.stop()
    elif kind == "redfish":
        async with open_redfish(folder) as (service, device):
            yield RedfishWorld(service, device)
    elif kind == "storage":
        yield await open_storage(folder)
    else:
        program = folder / "fence_rig"
        program.write_text(AGENT.format(rig=folder))
        program.chmod(0o755)
        (folder / "power").write_text("1\n")
        (folder / "accepts").write_text(PASSWORD)
        spec = FenceDeviceSpec(
            name="strip",
            level=1,
            kind="agent",
            address="",
            port=0,
            password_file=write_password(folder, PASSWORD),
            agent=str(program),
            options={"plug": "7", "secure": "0"},
        )
        yield AgentWorld(folder, await build(spec))
