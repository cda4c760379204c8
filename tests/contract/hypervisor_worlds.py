"""One host's libvirt to hold the hypervisor's contract against: in memory, and a real one."""

import os
import signal
from typing import Protocol

from hamon.backends.libvirt.definition import AGENT_CHANNEL
from hamon.backends.libvirt.hypervisor import LibvirtHypervisor
from hamon.clock import SystemClock
from hamon.model.names import GuestId
from hamon.ports.hypervisor import Hypervisor, Permits
from hamon.sim.host_files import InMemoryPermits
from hamon.sim.hypervisor import InMemoryHypervisor
from lab.guest_image import cached_image
from tests.contract.private_libvirtd import PrivateLibvirtd

CALL_TIMEOUT_S = 3.0


class HypervisorWorld(Protocol):
    """One host's libvirt, and what is done to it from outside."""

    @property
    def hypervisor(self) -> Hypervisor:
        """The adapter under test."""
        ...

    @property
    def permits(self) -> Permits:
        """The permits that the gate of this libvirt obeys."""
        ...

    def definition(self, guest: GuestId, channel: str | None = None) -> str:
        """A guest that can run here, with a channel of that name; nothing runs inside it."""
        ...

    def definition_with_agent(self, guest: GuestId) -> str:
        """A guest in which an agent runs once its system is up."""
        ...

    def boot(self, guest: GuestId) -> None:
        """Let the system in a guest that runs come up, if it does not by itself."""
        ...

    def end_agent(self, guest: GuestId) -> None:
        """End the agent inside a guest, without libvirt's having asked for it."""
        ...

    def pause(self) -> None:
        """SIGSTOP libvirtd."""
        ...

    def resume(self) -> None:
        """SIGCONT libvirtd."""
        ...

    def kill(self, guest: GuestId) -> None:
        """Kill the guest's QEMU without libvirt."""
        ...


class MemoryWorld:
    """The simulator's."""

    def __init__(self) -> None:
        self.permits = InMemoryPermits()
        self.hypervisor = InMemoryHypervisor(
            SystemClock(), self.permits, call_timeout_s=CALL_TIMEOUT_S
        )

    def definition(self, guest: GuestId, channel: str | None = None) -> str:
        """A guest that can run here, with a channel of that name; nothing runs inside it."""
        target = f'<channel type="unix"><target type="virtio" name="{channel}"/></channel>'
        return (
            f"<domain><name>{_name(guest)}</name><uuid>{guest}</uuid><memory>1024</memory>"
            '<os><type arch="x86_64">hvm</type></os>'
            f"<devices>{'' if channel is None else target}</devices></domain>"
        )

    def definition_with_agent(self, guest: GuestId) -> str:
        """A guest in which an agent runs once its system is up."""
        return self.definition(guest, AGENT_CHANNEL)

    def boot(self, guest: GuestId) -> None:
        """Let the system in a guest that runs come up, if it does not by itself."""
        self.hypervisor.connect_agent_now(guest)

    def end_agent(self, guest: GuestId) -> None:
        """End the agent inside a guest, without libvirt's having asked for it."""
        self.hypervisor.disconnect_agent_now(guest)

    def pause(self) -> None:
        """SIGSTOP libvirtd."""
        self.hypervisor.pause_daemon()

    def resume(self) -> None:
        """SIGCONT libvirtd."""
        self.hypervisor.resume_daemon()

    def kill(self, guest: GuestId) -> None:
        """Kill the guest's QEMU without libvirt."""
        assert frozenset({guest}) == self.hypervisor.kill_now(frozenset({guest}))


class RealWorld:
    """A libvirtd of this test's own."""

    def __init__(self, host: PrivateLibvirtd) -> None:
        self.host = host
        self.permits = host.permits
        self.hypervisor = LibvirtHypervisor(
            host.uri, call_timeout_s=CALL_TIMEOUT_S, start_timeout_s=10.0
        )

    def definition(self, guest: GuestId, channel: str | None = None) -> str:
        """A guest that can run here, with a channel of that name; nothing runs inside it."""
        return self.host.definition(guest, _name(guest), channel=channel)

    def definition_with_agent(self, guest: GuestId) -> str:
        """A guest in which an agent runs once its system is up."""
        return self.host.definition(
            guest, _name(guest), channel=AGENT_CHANNEL, image=cached_image()
        )

    def boot(self, guest: GuestId) -> None:
        """Let the system in a guest that runs come up: it does by itself."""

    def end_agent(self, guest: GuestId) -> None:
        """Speak to the lab's agent, which ends it."""
        self.host.virsh("qemu-agent-command", guest, '{"execute": "guest-ping"}')

    def pause(self) -> None:
        """SIGSTOP libvirtd."""
        self.host.send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT libvirtd."""
        self.host.send(signal.SIGCONT)

    def kill(self, guest: GuestId) -> None:
        """Kill the guest's QEMU without libvirt."""
        os.kill(self.host.pid_of(guest), signal.SIGKILL)


def _name(guest: GuestId) -> str:
    return f"guest-{guest[:8]}"
