"""What runs on each machine of a lab, as data.

To add a daemon or an agent to the lab, add a `Service` to the list of its role here.
"""

import shlex
import sys
from pathlib import Path

from lab import hypervisor
from lab.names import PROJECT, Layout, MachineName, Role
from lab.openstack import programs
from lab.openstack.venv import OPENSTACK
from lab.service import Service
from lab.zookeeper import java_argv


def services_of(layout: Layout, machine: MachineName) -> tuple[Service, ...]:
    """The services of a machine in the order of their start; a shutdown stops them backwards."""
    match machine.role:
        case Role.CONTROLLER:
            return _controller_services(layout, machine)
        case Role.HOST:
            return _host_services(layout, machine)
        case Role.CLOUD:
            return _cloud_services(layout, machine)


def log_of(layout: Layout, machine: MachineName, service: str) -> Path:
    """The file with what a service printed, over all power-ons."""
    return layout.machine_folder(machine) / "log" / f"{service}.log"


def _controller_services(layout: Layout, machine: MachineName) -> tuple[Service, ...]:
    zookeeper = Service(name="zookeeper", argv=java_argv(layout, machine))
    if not _is_configured(layout, machine, "hamon.toml"):
        return (zookeeper,)
    return (zookeeper, _hamon("hamon", "daemon", "--config", "/etc/hamon/hamon.toml"))


def _cloud_services(layout: Layout, machine: MachineName) -> tuple[Service, ...]:
    if not programs.is_seeded(layout.machine_folder(machine)):
        return (programs.databases(), programs.identity(OPENSTACK.path()))
    return programs.control_plane(OPENSTACK.path())


def _host_services(layout: Layout, machine: MachineName) -> tuple[Service, ...]:
    folder = layout.machine_folder(machine)
    has_libvirt = hypervisor.is_prepared(folder)
    has_agents = _is_configured(layout, machine, "agent.toml")
    services: tuple[Service, ...] = _libvirt(has_hook=has_agents) if has_libvirt else ()
    if has_agents:
        services = (*services, _hamon("hamon-agent", "agent", "heartbeat", *_AGENT_CONFIG))
    if has_agents and has_libvirt:
        services = (*services, _hamon("hamon-agent-guests", "agent", "guests", *_AGENT_CONFIG))
    if not (folder / "etc" / "upper" / "nova").exists():
        return services
    # The gate waits for the guests process, so where there is none, there is no gate.
    gate = _GATE if has_agents and has_libvirt else ()
    return (*services, programs.compute(OPENSTACK.path(), has_libvirt=has_libvirt, gate=gate))


def _libvirt(*, has_hook: bool) -> tuple[Service, ...]:
    virtlogd = Service(name="virtlogd", argv=("/usr/sbin/virtlogd",))
    if not has_hook:
        return (virtlogd, Service(name="libvirtd", argv=("/usr/sbin/libvirtd",)))
    # libvirtd looks for its hooks when it starts, so the hook is put there first.
    install = shlex.join((*HAMON, "agent", "install-hook", *_AGENT_CONFIG))
    return (
        virtlogd,
        Service(name="libvirtd", argv=("/bin/sh", "-c", f"{install} && exec /usr/sbin/libvirtd")),
    )


HAMON = (sys.executable, "-m", "hamon")
"""The command line of hamon, from the checkout that the lab is part of."""

_AGENT_CONFIG = ("--config", "/etc/hamon/agent.toml")
# As a unit that runs before nova-compute does; its path to hamon must not become nova-compute's.
_GATE = ("env", f"PYTHONPATH={PROJECT}", *HAMON, "agent", "gate", *_AGENT_CONFIG)


def _hamon(name: str, *arguments: str) -> Service:
    return Service(name=name, argv=(*HAMON, *arguments), environment={"PYTHONPATH": str(PROJECT)})


def _is_configured(layout: Layout, machine: MachineName, file: str) -> bool:
    """Whether the machine has been given a configuration of hamon (`lab.deployment`)."""
    return (layout.machine_folder(machine) / "etc" / "upper" / "hamon" / file).exists()
