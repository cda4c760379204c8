"""A whole lab: up, down, repair, and the ways to its parts."""

import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from msgspec import convert

from lab import (
    bmc,
    deployment,
    guest_image,
    guests,
    hamon_files,
    hypervisor,
    network,
    overview,
    poor_link,
    records,
    zookeeper,
)
from lab.bmc import Bmc
from lab.guests import Guests
from lab.hamon_files import Installation
from lab.machine import Machine
from lab.names import LabError, Layout, MachineName, Plane, Role, valid_lab_name
from lab.observer import Observer
from lab.openstack import seed
from lab.openstack.api import Api
from lab.openstack.cloud import Cloud
from lab.poor_link import Quality
from lab.processes import run, wait_until
from lab.topology import Backend, Computes, Topology

_T = TypeVar("_T")

READY_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """One lab. `Lab.create` makes one, `Lab.open` finds it again, also from another process.

    Attributes:
        layout: its names and folders.
        topology: what it consists of.
        controllers: 1 or 3, each with a ZooKeeper server.
        hosts: virtual compute hosts, each with a BMC.
        guests: what is needed to define and start guests.
        cloud: the OpenStack whose computes the hosts are, None: there is none.
    """

    layout: Layout
    topology: Topology
    controllers: tuple[Machine, ...]
    hosts: tuple[Machine, ...]
    guests: Guests
    cloud: Cloud | None = None

    @classmethod
    def create(
        cls,
        name: str,
        *,
        controllers: int = 3,
        hosts: int = 3,
        daemons: int = 2,
        backend: Backend = Backend.LIBVIRT,
        computes: Computes | None = None,
        durable: bool = False,
        tick_s: float = zookeeper.TICK_S,
    ) -> "Lab":
        """Make a lab and bring it up; after a failure nothing is left.

        Args:
            name: of the lab; lower-case letters and digits.
            controllers: 1 or 3.
            hosts: 1 to 100.
            daemons: how many controllers run hamon's daemon; 0: the lab is without hamon.
            backend: whether the hosts are the computes of an OpenStack.
            computes: how nova-compute runs, if they are.
            durable: keep the machines' state on disk and not on a tmpfs.
            tick_s: ZooKeeper's tick; sessions last `hamon_files.SESSION_TICKS` of them.

        Raises:
            LabError: the name is taken, or a part did not come up.
        """
        topology = Topology(
            controllers=controllers,
            hosts=hosts,
            backend=backend,
            computes=computes or Computes(),
        )
        topology.check()
        image = guest_image.cached_image()
        accelerator = guest_image.accelerator(image)
        layout = records.take_name(valid_lab_name(name))
        try:
            return _build(
                layout,
                image,
                accelerator,
                topology,
                daemons=daemons,
                durable=durable,
                tick_s=tick_s,
            )
        except BaseException:
            # Also after Ctrl-C: what is half made has no use.
            records.remove(name)
            raise

    @classmethod
    def open(cls, name: str) -> "Lab":
        """Find a lab that is up.

        Raises:
            LabError: there is none of that name, or it was made before this machine booted.
        """
        saved = records.saved_of(valid_lab_name(name))
        if saved is None or "topology" not in saved:
            raise LabError(f"no lab {name!r}: make one with `python -m lab --name {name} up`")
        if saved["machine_boot_id"] != records.MACHINE_BOOT_ID.read_text().strip():
            raise LabError(f"lab {name!r} did not survive the reboot of this machine: take it down")
        layout = Layout(lab=name, slot=saved["slot"])
        return _lab(layout, saved["accelerator"], convert(saved["topology"], Topology))

    @property
    def machines(self) -> tuple[Machine, ...]:
        """Controllers, then OpenStack's machine, then hosts."""
        cloud = () if self.cloud is None else (self.cloud.machine,)
        return (*self.controllers, *cloud, *self.hosts)

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
        return tuple(c for c in self.controllers if hamon_files.is_controller(self.layout, c.name))

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
        return Observer(self.guests.disks if self.cloud is None else self.cloud.disks)

    def cut(
        self, machine: str, plane: Plane, direction: network.Direction = network.Direction.BOTH
    ) -> None:
        """Cut a plane of a machine; on `bmc` that of a host's BMC. Idempotent."""
        network.cut(self.layout, self.machine(machine).name, plane, direction)

    def worsen(self, machine: str, plane: Plane, quality: Quality) -> None:
        """Have a plane of a machine lose frames and carry the others late. Idempotent."""
        poor_link.worsen(self.layout, self.machine(machine).name, plane, quality)

    def restore(self, machine: str, plane: Plane) -> None:
        """Mend a plane of a machine. Idempotent."""
        poor_link.mend(self.layout, self.machine(machine).name, plane)
        network.restore(self.layout, self.machine(machine).name, plane)

    def cut_between(self, one: str, other: str) -> None:
        """Have two machines hear nothing of each other on the management plane. Idempotent."""
        names = (self.machine(one).name, self.machine(other).name)
        network.cut_between(self.layout, *names, Plane.MANAGEMENT)

    def restore_between(self) -> None:
        """Have all machines hear each other again. Idempotent."""
        network.restore_between(self.layout)

    def cut_storage(self, machine: str) -> None:
        """Have a host's heartbeats on shared storage fail. Idempotent."""
        self.machine(machine).cut_storage(is_cut=True)

    def restore_storage(self, machine: str) -> None:
        """Have a host's heartbeats on shared storage pass. Idempotent."""
        self.machine(machine).cut_storage(is_cut=False)

    def address(self, machine: str) -> str:
        """The address of a machine on the management plane."""
        return self.layout.address(self.machine(machine).name, Plane.MANAGEMENT)

    @contextmanager
    def crash_kernel(self, host: str) -> Iterator[list[str]]:
        """Put a kernel that dumps memory in the place of a host that is off.

        It has the host's address on the management plane, and nothing else of it.

        Yields:
            How to enter it: what is to be put before a command.
        """
        namespace = f"hamon-{self.layout.lab}-{host}-crash"
        name = self.host(host).name
        records.add_namespace(self.layout, namespace)
        try:
            network.plug(self.layout, name, Plane.MANAGEMENT, namespace)
            network.give_address(self.layout, name, Plane.MANAGEMENT, namespace)
            yield ["nsenter", f"--net={network.NAMESPACES / namespace}"]
        finally:
            network.remove_namespace(namespace)

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
        """Wait until the ensemble has a leader, libvirt and nova serve, and hamon protects.

        Raises:
            LabError: something did not become ready in time.
        """
        wait_until(self.ensemble_ready, "a ZooKeeper server on each controller", READY_TIMEOUT_S)
        if self.topology.has_libvirt:
            _in_parallel(_wait_for_libvirt, self.hosts)
        if self.cloud is not None:
            self.cloud.wait_ready()
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
        self.restore_between()
        for device in self.bmcs:
            device.behave(bmc.Fault.OK)
        _in_parallel(_repair_machine, self.machines)
        if self.cloud is not None:
            self.cloud.let_calls_pass()
        if self.daemons:
            # Before anything is put right by hand: with nova, hamon opens the gate before
            # nova-compute, lifts what it forced down and enables what it disabled.
            deployment.bring_into_service(self.daemons, self.hosts)
        if self.cloud is not None:
            self.cloud.repair(remove_servers=remove_guests)
        self.wait_ready()
        if remove_guests and self.topology.has_libvirt:
            self.guests.remove_all(list(self.hosts))

    def status(self) -> dict[str, Any]:
        """All there is to see, as plain data."""
        return {
            "name": self.layout.lab,
            "folder": str(self.layout.folder),
            "accelerator": self.guests.accelerator,
            "zookeeper": {"connect": self.zookeeper_hosts, "servers": self._server_modes()},
            "machines": overview.described(self.layout, self.machines, self.bmcs),
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


def _build(
    layout: Layout,
    image: guest_image.GuestImage,
    accelerator: str,
    topology: Topology,
    *,
    daemons: int,
    durable: bool,
    tick_s: float,
) -> Lab:
    lab = _lab(layout, accelerator, topology)
    if not durable:
        run(["mount", "-t", "tmpfs", "-o", "mode=755", f"hamon-{layout.lab}", str(layout.state)])
    records.add_namespace(layout, layout.switch)
    network.build_switch(layout)
    lab.guests.prepare(image)
    controller_names = [controller.name for controller in lab.controllers]
    for machine in lab.machines:
        machine.prepare()
    if topology.has_libvirt:
        for host in lab.hosts:
            hypervisor.prepare(host.folder, layout.product_uuid(host.name))
    for controller in controller_names:
        zookeeper.prepare(layout, controller, controller_names, tick_s)
    for device in lab.bmcs:
        records.add_namespace(layout, layout.bmc_namespace(device.host))
        bmc.connect(layout, device.host)
        device.prepare()
    if daemons:
        _configure_hamon(lab, daemons, tick_s)
    if lab.cloud is not None:
        lab.cloud.prepare(accelerator)
    # Before the power is on: a command in the lab finds it, for example that of a BMC.
    records.save(layout, {"topology": asdict(topology), "accelerator": accelerator})
    if lab.cloud is not None:
        lab.cloud.power_on()
    _in_parallel(Machine.power_on, lab.controllers)
    _in_parallel(Bmc.start, lab.bmcs)
    if daemons:
        _bring_hamon_up(lab)
    _in_parallel(Machine.power_on, lab.hosts)
    lab.wait_ready()
    if lab.cloud is not None:
        lab.cloud.add_images(image)
    return lab


def _configure_hamon(lab: Lab, daemons: int, tick_s: float) -> None:
    installation = Installation(
        layout=lab.layout,
        machines=tuple(machine.name for machine in lab.machines),
        topology=lab.topology,
        tick_s=tick_s,
    )
    hamon_files.make_secrets(installation)
    for machine in (*lab.controllers[:daemons], *lab.hosts):
        hamon_files.configure(installation, machine.name)


def _bring_hamon_up(lab: Lab) -> None:
    """Make the cluster's chroot and start the daemons; before it exists they just end."""
    wait_until(lab.ensemble_ready, "a ZooKeeper server on each controller", READY_TIMEOUT_S)
    deployment.bootstrap(lab.controllers[0])
    for controller in lab.daemons:
        controller.start_service(deployment.DAEMON)


def _lab(layout: Layout, accelerator: str, topology: Topology) -> Lab:
    def machines(role: Role, count: int) -> tuple[Machine, ...]:
        numbers = range(1, count + 1)
        return tuple(
            Machine(layout=layout, name=MachineName(role=role, number=number)) for number in numbers
        )

    hosts = machines(Role.HOST, topology.hosts)
    return Lab(
        layout=layout,
        topology=topology,
        controllers=machines(Role.CONTROLLER, topology.controllers),
        hosts=hosts,
        guests=Guests(layout=layout, accelerator=accelerator),
        cloud=_cloud(layout, hosts, topology) if topology.has_cloud else None,
    )


def _cloud(layout: Layout, hosts: tuple[Machine, ...], topology: Topology) -> Cloud:
    machine = Machine(layout=layout, name=MachineName(role=Role.CLOUD, number=1))
    admin = Api(machine, seed.password())
    return Cloud(machine=machine, hosts=hosts, computes=topology.computes, admin=admin)


def _wait_for_libvirt(host: Machine) -> None:
    what = f"libvirt on {host.name}, pool and network active"
    wait_until(lambda: guests.libvirt_answers(host), what, READY_TIMEOUT_S)


def _repair_machine(machine: Machine) -> None:
    if not machine.powered():
        machine.power_on()
    if machine.name.role is Role.HOST:
        machine.cut_storage(is_cut=False)
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
