"""A whole lab: up, down, repair, and the ways to its parts."""

import contextlib
import fcntl
import json
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lab import bmc, deployment, guest_image, guests, network, zookeeper
from lab.bmc import Bmc
from lab.guests import Guests
from lab.machine import Machine
from lab.names import (
    LABS,
    PLANES_OF_ROLE,
    SLOTS,
    LabError,
    Layout,
    MachineName,
    Plane,
    Role,
    valid_lab_name,
)
from lab.observer import Observer
from lab.processes import kill_session, read_record, run, wait_until

_T = TypeVar("_T")

READY_TIMEOUT_S = 60.0
_MACHINE_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """One lab. `Lab.create` makes one, `Lab.open` finds it again, also from another process.

    Attributes:
        layout: its names and folders.
        controllers: 1 or 3, each with a ZooKeeper server.
        hosts: virtual compute hosts, each with a BMC.
        guests: what is needed to define and start guests.
    """

    layout: Layout
    controllers: tuple[Machine, ...]
    hosts: tuple[Machine, ...]
    guests: Guests

    @classmethod
    def create(
        cls,
        name: str,
        *,
        controllers: int = 3,
        hosts: int = 3,
        daemons: int = 2,
        durable: bool = False,
        tick_s: float = zookeeper.TICK_S,
    ) -> "Lab":
        """Make a lab and bring it up; after a failure nothing is left.

        Args:
            name: of the lab; lower-case letters and digits.
            controllers: 1 or 3.
            hosts: 1 to 100.
            daemons: how many controllers run hamon's daemon; 0: the lab is without hamon.
            durable: keep the machines' state on disk and not on a tmpfs.
            tick_s: ZooKeeper's tick; sessions last `deployment.SESSION_TICKS` of them.

        Raises:
            LabError: the name is taken, or a part did not come up.
        """
        if controllers not in (1, 3) or not 1 <= hosts <= 100:
            raise LabError("a lab has 1 or 3 controllers and 1 to 100 hosts")
        image = guest_image.cached_image()
        accelerator = guest_image.accelerator(image)
        layout = _take_name(valid_lab_name(name))
        try:
            return _build(
                layout,
                image,
                accelerator,
                (controllers, hosts),
                daemons=daemons,
                durable=durable,
                tick_s=tick_s,
            )
        except BaseException:
            # Also after Ctrl-C: what is half made has no use.
            remove(name)
            raise

    @classmethod
    def open(cls, name: str) -> "Lab":
        """Find a lab that is up.

        Raises:
            LabError: there is none of that name, or it was made before this machine booted.
        """
        saved = _saved(valid_lab_name(name))
        if saved is None or "topology" not in saved:
            raise LabError(f"no lab {name!r}: make one with `python -m lab --name {name} up`")
        if saved["machine_boot_id"] != _MACHINE_BOOT_ID.read_text().strip():
            raise LabError(f"lab {name!r} did not survive the reboot of this machine: take it down")
        topology = saved["topology"]
        layout = Layout(lab=name, slot=saved["slot"])
        return _lab(layout, saved["accelerator"], topology["controllers"], topology["hosts"])

    @property
    def machines(self) -> tuple[Machine, ...]:
        """Controllers, then hosts."""
        return (*self.controllers, *self.hosts)

    def machine(self, name: str) -> Machine:
        """A machine by its name, `c1` or `h1`.

        Raises:
            LabError: the lab has no such machine.
        """
        for machine in self.machines:
            if str(machine.name) == name:
                return machine
        known = " ".join(str(machine.name) for machine in self.machines)
        raise LabError(f"no machine {name!r}; there are {known}")

    def host(self, name: str) -> Machine:
        """A compute host by its name.

        Raises:
            LabError: the lab has no such host.
        """
        machine = self.machine(name)
        if machine.name.role is not Role.HOST:
            raise LabError(f"{name} is no compute host")
        return machine

    def bmc(self, host: str) -> Bmc:
        """The BMC of a host.

        Raises:
            LabError: the lab has no such host.
        """
        return Bmc(layout=self.layout, host=self.host(host).name)

    @property
    def daemons(self) -> tuple[Machine, ...]:
        """The controllers that run hamon's daemon."""
        return tuple(c for c in self.controllers if deployment.is_controller(self.layout, c.name))

    @property
    def bmcs(self) -> tuple[Bmc, ...]:
        """The BMC of each host."""
        return tuple(Bmc(layout=self.layout, host=host.name) for host in self.hosts)

    @property
    def zookeeper_hosts(self) -> str:
        """The connect string of a client on the management plane."""
        return zookeeper.connect_string(self.layout, [c.name for c in self.controllers])

    def observer(self) -> Observer:
        """A new observer of all guest disks; use it in a `with`."""
        return Observer(self.layout.guest_disks)

    def cut(
        self, machine: str, plane: Plane, direction: network.Direction = network.Direction.BOTH
    ) -> None:
        """Cut a plane of a machine; on `bmc` that of a host's BMC. Idempotent."""
        network.cut(self.layout, self.machine(machine).name, plane, direction)

    def restore(self, machine: str, plane: Plane) -> None:
        """Mend a plane of a machine. Idempotent."""
        network.restore(self.layout, self.machine(machine).name, plane)

    def reset(self, machine: str) -> None:
        """Cut the power of a machine and switch it on again at once."""
        self.machine(machine).power_cut()
        self.machine(machine).power_on()

    def reboot(self, machine: str) -> None:
        """Shut a machine down in order and switch it on again."""
        self.machine(machine).shut_down()
        self.machine(machine).power_on()

    def restart_service(self, machine: str, service: str) -> None:
        """End a service if it runs, and start it."""
        self.machine(machine).stop_service(service)
        self.machine(machine).start_service(service)

    def wait_ready(self) -> None:
        """Wait until the ensemble has a leader and each host's libvirt serves.

        Raises:
            LabError: something did not become ready within `READY_TIMEOUT_S`.
        """
        wait_until(self.ensemble_ready, "a ZooKeeper server on each controller", READY_TIMEOUT_S)
        _in_parallel(_wait_for_libvirt, self.hosts)
        if self.daemons:
            deployment.wait_in_service(self.daemons, self.hosts)

    def repair(self, *, remove_guests: bool = False) -> None:
        """Bring every plane, BMC, machine and process back to normal. Idempotent.

        With hamon it also arms, ends maintenance and waits until every host is in service.

        Args:
            remove_guests: also destroy and undefine all guests and remove their disks.

        Raises:
            LabError: something did not become ready.
        """
        for machine in self.machines:
            for plane in Plane:
                self.restore(str(machine.name), plane)
        for device in self.bmcs:
            device.behave(bmc.Fault.OK)
        _in_parallel(_repair_machine, self.machines)
        if self.daemons:
            deployment.bring_into_service(self.daemons, self.hosts)
        self.wait_ready()
        if remove_guests:
            self.guests.remove_all(list(self.hosts))

    def status(self) -> dict[str, Any]:
        """All there is to see, as plain data."""
        cut_ports = network.cuts(self.layout)
        machines = {}
        for machine in self.machines:
            planes = {}
            for plane in Plane:
                if plane in PLANES_OF_ROLE[machine.name.role] or machine.name.role is Role.HOST:
                    cut = cut_ports.get(network.port_name(machine.name, plane))
                    planes[str(plane)] = {
                        "address": self.layout.address(machine.name, plane),
                        "cut": str(cut) if cut else None,
                    }
            machines[str(machine.name)] = {
                "role": str(machine.name.role),
                "powered": machine.powered(),
                "product_uuid": str(self.layout.product_uuid(machine.name)),
                "planes": planes,
                "processes": machine.processes(),
            }
        for device in self.bmcs:
            machines[str(device.host)]["bmc"] = str(device.fault())
        return {
            "name": self.layout.lab,
            "folder": str(self.layout.folder),
            "accelerator": self.guests.accelerator,
            "zookeeper": {"connect": self.zookeeper_hosts, "servers": self._server_modes()},
            "machines": machines,
        }

    def _server_modes(self) -> dict[str, str | None]:
        modes: dict[str, str | None] = {}
        for controller in self.controllers:
            init = controller.init_process()
            mode = zookeeper.server_mode(self.layout, controller.name, init.pid) if init else None
            modes[str(controller.name)] = mode
        return modes

    def ensemble_ready(self) -> bool:
        """Whether every ZooKeeper server answers and one leads."""
        modes = list(self._server_modes().values())
        return None not in modes and ("leader" in modes or modes == ["standalone"])


def names() -> list[str]:
    """The labs of this checkout, also half-made ones."""
    return sorted(file.parent.name for file in LABS.glob("*/lab.json"))


def remove(name: str) -> None:
    """Take a lab down and remove all that it made. Idempotent, also for half-made labs.

    Raises:
        LabError: a process would not die, or a folder would not unmount.
    """
    saved = _saved(valid_lab_name(name))
    if saved is None:
        return
    layout = Layout(lab=name, slot=saved["slot"])
    same_boot = saved["machine_boot_id"] == _MACHINE_BOOT_ID.read_text().strip()
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


def _build(
    layout: Layout,
    image: guest_image.GuestImage,
    accelerator: str,
    size: tuple[int, int],
    *,
    daemons: int,
    durable: bool,
    tick_s: float,
) -> Lab:
    lab = _lab(layout, accelerator, *size)
    if not durable:
        run(["mount", "-t", "tmpfs", "-o", "mode=755", f"hamon-{layout.lab}", str(layout.state)])
    _add_namespace(layout, layout.switch)
    network.build_switch(layout)
    lab.guests.prepare(image)
    controller_names = [controller.name for controller in lab.controllers]
    for machine in lab.machines:
        machine.prepare()
    for controller in controller_names:
        zookeeper.prepare(layout, controller, controller_names, tick_s)
    for device in lab.bmcs:
        _add_namespace(layout, layout.bmc_namespace(device.host))
        bmc.connect(layout, device.host)
        device.prepare()
    if daemons:
        _configure_hamon(lab, daemons, tick_s)
    # Before the power is on: a command in the lab finds it, for example that of a BMC.
    topology = {"controllers": size[0], "hosts": size[1]}
    _save(layout, {"topology": topology, "accelerator": accelerator})
    _in_parallel(Machine.power_on, lab.controllers)
    _in_parallel(Bmc.start, lab.bmcs)
    if daemons:
        _bring_hamon_up(lab)
    _in_parallel(Machine.power_on, lab.hosts)
    lab.wait_ready()
    return lab


def _configure_hamon(lab: Lab, daemons: int, tick_s: float) -> None:
    names = tuple(machine.name for machine in lab.machines)
    deployment.make_secrets(lab.layout, names)
    for machine in (*lab.controllers[:daemons], *lab.hosts):
        deployment.configure(lab.layout, machine.name, names, tick_s)


def _bring_hamon_up(lab: Lab) -> None:
    """Make the cluster's chroot and start the daemons; before it exists they just end."""
    wait_until(lab.ensemble_ready, "a ZooKeeper server on each controller", READY_TIMEOUT_S)
    deployment.bootstrap(lab.controllers[0])
    for controller in lab.daemons:
        controller.start_service(deployment.DAEMON)


def _lab(layout: Layout, accelerator: str, controllers: int, hosts: int) -> Lab:
    def machines(role: Role, count: int) -> tuple[Machine, ...]:
        numbers = range(1, count + 1)
        return tuple(
            Machine(layout=layout, name=MachineName(role=role, number=number)) for number in numbers
        )

    return Lab(
        layout=layout,
        controllers=machines(Role.CONTROLLER, controllers),
        hosts=machines(Role.HOST, hosts),
        guests=Guests(layout=layout, accelerator=accelerator),
    )


def _wait_for_libvirt(host: Machine) -> None:
    what = f"libvirt on {host.name}, pool and network active"
    wait_until(lambda: guests.libvirt_answers(host), what, READY_TIMEOUT_S)


def _repair_machine(machine: Machine) -> None:
    if not machine.powered():
        machine.power_on()
    for name, process in machine.processes().items():
        match process["state"]:
            case "paused":
                machine.signal_process(name, signal.SIGCONT)
            case "dead":
                machine.start_service(name)
            case _:
                pass


def _in_parallel(work: Callable[[_T], None], items: Iterable[_T]) -> None:
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(work, items))


@contextlib.contextmanager
def _all_labs_locked() -> Iterator[None]:
    LABS.mkdir(exist_ok=True)
    with (LABS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _take_name(name: str) -> Layout:
    with _all_labs_locked():
        if _saved(name) is not None:
            raise LabError(f"lab {name!r} exists: `python -m lab --name {name} down` removes it")
        taken = {saved["slot"] for other in names() if (saved := _saved(other))}
        slot = next((slot for slot in range(SLOTS) if slot not in taken), None)
        if slot is None:
            raise LabError(f"there are {SLOTS} labs already")
        layout = Layout(lab=name, slot=slot)
        for folder in (layout.state, layout.processes, layout.secrets):
            folder.mkdir(parents=True, exist_ok=True)
        layout.secrets.chmod(0o700)
        boot_id = _MACHINE_BOOT_ID.read_text().strip()
        _write(layout, {"slot": slot, "machine_boot_id": boot_id, "namespaces": {}})
        return layout


def _add_namespace(layout: Layout, namespace: str) -> None:
    if network.namespace_identity(namespace) is not None:
        raise LabError(f"the network namespace {namespace} exists and is not of this lab")
    # Noted first, so that an interrupted lab can be removed whole.
    _save(layout, {"namespaces": {namespace: None}})
    _save(layout, {"namespaces": {namespace: network.add_namespace(namespace)}})


def _saved(name: str) -> dict[str, Any] | None:
    try:
        saved: dict[str, Any] = json.loads((LABS / name / "lab.json").read_text())
    except FileNotFoundError:
        return None
    return saved


def _save(layout: Layout, more: dict[str, Any]) -> None:
    saved = _saved(layout.lab)
    assert saved is not None
    namespaces = saved["namespaces"] | more.get("namespaces", {})
    _write(layout, saved | more | {"namespaces": namespaces})


def _write(layout: Layout, saved: dict[str, Any]) -> None:
    new = layout.folder / "lab.json.new"
    new.write_text(json.dumps(saved, indent=2) + "\n")
    new.rename(layout.folder / "lab.json")


def _kill_recorded(layout: Layout) -> None:
    # BMCs first: one that lives can still switch a host on.
    for record in layout.processes.glob("*-bmc"):
        process = read_record(record)
        if process is not None:
            kill_session(process)
    for switch in layout.processes.glob("*-switch"):
        machine, _, _ = switch.name.partition("-")
        role = Role.CONTROLLER if machine.startswith("c") else Role.HOST
        name = MachineName(role=role, number=int(machine[1:]))
        Machine(layout=layout, name=name).power_cut()


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
