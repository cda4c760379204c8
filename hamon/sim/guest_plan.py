"""Guests as a world begins with them, and what is heard of those that listen or have an agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import quoteattr

from hamon.backends.libvirt.definition import AGENT_CHANNEL, HAMON_NAMESPACE, NOVA_NAMESPACE
from hamon.model.guest import PowerState
from hamon.model.guest_policy import READY, READY_ADDRESS, ReadyCheck
from hamon.model.names import GuestId
from hamon.ports.probe import ProbeAnswer, ProbeResult
from hamon.sim.host_agents import SHARED_PATH

GUEST_PLANE = "guests"
GUEST_NETWORK = "10.0.0.0/24"
"""Where guests have addresses, and may be probed."""

BOOT_S = 8.0
"""So long after its start a guest listens, and its agent is connected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestPlan:
    """A guest as a world begins with it.

    ``said``: of it, by key. ``has_channel``: whether one that is waited for by its agent has the
    channel for it.
    """

    name: str
    host: str
    ram_mib: int = 1024
    wanted: PowerState = PowerState.RUNNING
    said: Mapping[str, str] = field(default_factory=dict)
    has_channel: bool = True

    def definition(self, guest: GuestId, *, is_of_nova: bool) -> str:
        """Return its domain; what is said of a guest of Nova's stands elsewhere."""
        mark = f'<nova:instance xmlns:nova="{NOVA_NAMESPACE}1"/>'
        if not is_of_nova:
            words = " ".join(
                f"{key.removeprefix('hamon:').replace('_', '-')}={quoteattr(value)}"
                for key, value in sorted(self.said.items())
            )
            mark = f'<h:guest xmlns:h="{HAMON_NAMESPACE}" {words}/>'
        channel = f'<channel type="unix"><target type="virtio" name="{AGENT_CHANNEL}"/></channel>'
        return f"""\
<domain type="qemu"><name>{self.name}</name><uuid>{guest}</uuid><metadata>{mark}</metadata>
<memory unit="MiB">{self.ram_mib}</memory><vcpu>1</vcpu>
<os><type arch="x86_64">hvm</type></os><devices>
<disk type="file" device="disk"><source file="{SHARED_PATH}/{self.name}.img"/>
<target dev="vda"/></disk>{channel if self.has_agent else ""}</devices></domain>"""

    @property
    def has_agent(self) -> bool:
        """Whether an agent runs in it, and has a channel: only in those waited for by that."""
        return self.has_channel and self.said.get(READY) == ReadyCheck.GUEST_AGENT

    @property
    def listens_at(self) -> tuple[str, int] | None:
        """The address and port at which it answers when it is up; None: nowhere."""
        _, _, port = self.said.get(READY, "").partition("tcp:")
        return (self.said[READY_ADDRESS], int(port)) if port else None


class Listening:
    """What answers at a guest's address (implements the network's ``Endpoint``).

    Args:
        runs_for_s: how long the guest has been running somewhere, None: it does not.
    """

    def __init__(self, runs_for_s: Callable[[], float | None]) -> None:
        self._runs_for_s = runs_for_s

    def answer(self) -> ProbeResult:
        """Take a connection when the guest is up."""
        runs_for_s = self._runs_for_s()
        if runs_for_s is None:
            return ProbeResult(answer=ProbeAnswer.SILENT)
        if runs_for_s < BOOT_S:
            return ProbeResult(answer=ProbeAnswer.REFUSED)
        return ProbeResult(answer=ProbeAnswer.CONNECTED)
