"""A living Nova: its API, its message queues, and a conductor that places what is evacuated.

It behaves as the newest Nova does (reference/nova.md): a second request for a guest is accepted, a
conductor takes up the *oldest* accepted record of a guest, queues keep what is sent to the dead.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from hamon.model.cloud import Progress, Server
from hamon.model.names import GuestId
from hamon.ports.clock import Clock
from hamon.sim.cloud import SimulatedCloud
from hamon.sim.events import Events
from hamon.sim.nova_records import EvacuationOrder, NovaRecords, Order, PowerOrder
from hamon.sim.process import Process

M = TypeVar("M")

SCHEDULE_S = 0.3
"""How long a conductor and a scheduler take for one guest."""

REPORT_PERIOD_S = 5.0
DOWN_AFTER_S = 20.0
"""A service that wrote no heartbeat for so long is down by Nova's word."""


class Queue(Generic[M]):
    """One queue of RabbitMQ's: it keeps what nobody takes."""

    def __init__(self) -> None:
        self.waiting: deque[M] = deque()
        self._wake: Callable[[], None] = lambda: None

    def put(self, message: M) -> None:
        """Send a message."""
        self.waiting.append(message)
        self._wake()

    async def take(self, process: Process) -> M:
        """Take the oldest message, within a process; from then on it is that process's alone."""
        while not self.waiting:
            came = asyncio.Event()
            self._wake = process.bind(came.set)
            await came.wait()
        return self.waiting.popleft()


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildOrder:
    """From a conductor to the chosen destination. ``number``: the record it took up, 0: none."""

    guest: GuestId
    number: int


class Surroundings(Protocol):
    """What Nova needs of its world."""

    @property
    def clock(self) -> Clock:
        """Its time."""
        ...

    @property
    def events(self) -> Events:
        """Its log."""
        ...

    def crashed(self, process: Process, error: BaseException) -> None:
        """Be told of a process that ended by an exception."""
        ...

    def evacuation_accepted(self, guest: GuestId) -> None:
        """Be told of an evacuation that Nova's API has just accepted."""
        ...


class SimulatedNova:
    """One Nova.

    Args:
        world: around it.
        ram_mib: what each compute has for guests.
    """

    def __init__(self, world: Surroundings, ram_mib: dict[str, int]) -> None:
        self._world = world
        self._ram_mib = ram_mib
        self.records = NovaRecords(world.clock, tuple(ram_mib))
        self.api = SimulatedCloud(world.clock, self.records, self._cast)
        self.queues: dict[str, Queue[RebuildOrder | PowerOrder]] = {h: Queue() for h in ram_mib}
        self._evacuations: Queue[EvacuationOrder] = Queue()
        self._in_hand: EvacuationOrder | None = None
        self._rebuilding: dict[tuple[GuestId, str], Process] = {}
        self._conductor: Process | None = None
        self._beats_s: dict[str, float] = {}
        self._conducted_s = 0.0
        self.api_process = Process("nova-api", world.crashed)
        self.buried: list[Process] = [self.api_process]

    def processes(self) -> list[Process]:
        """Return every process that it ever had beside compute hosts."""
        return self.buried

    def begin(self) -> None:
        """Start everything that does not run on compute hosts."""
        self.start_conductor()
        self.api_process.spawn(self._look_who_lives())

    # -- who lives --------------------------------------------------------------------------------

    def beat(self, host: str) -> None:
        """Take a nova-compute's heartbeat."""
        self._beats_s[host] = self._world.clock.now_s()
        self.records.beat(host)

    async def _look_who_lives(self) -> None:
        while True:
            now_s = self._world.clock.now_s()
            for host in self._ram_mib:
                if now_s - self._beats_s.get(host, 0.0) > DOWN_AFTER_S:
                    self.records.lose(host)
            if self._conductor is not None:
                self._conducted_s = now_s
            self.records.is_conductor_up = now_s - self._conducted_s <= DOWN_AFTER_S
            await self._world.clock.sleep(1.0)

    def start_conductor(self) -> None:
        """Start the conductor. Already running is fine."""
        if self._conductor is None:
            self._conductor = Process("nova-conductor", self._world.crashed)
            self.buried.append(self._conductor)
            self._conductor.spawn(self._conduct(self._conductor))

    def kill_conductor(self) -> None:
        """SIGKILL it: what it had in hand is lost, what waits in its queue is not."""
        if self._conductor is not None:
            self._conductor.kill()
            self._conductor = None
            self._in_hand = None

    # -- what is under way ------------------------------------------------------------------------

    def began_rebuild(self, guest: GuestId, host: str, process: Process) -> None:
        """Note that a nova-compute works at a rebuild."""
        self._rebuilding[guest, host] = process

    def ended_rebuild(self, guest: GuestId, host: str) -> None:
        """Note that it does not any more."""
        self._rebuilding.pop((guest, host), None)

    def works_at(self, guest: GuestId) -> str:
        """Name who has a rebuild of the guest in hand or will take it up; "": nobody alive."""
        orders = [*self._evacuations.waiting, *([self._in_hand] if self._in_hand else [])]
        if any(order.guest == guest for order in orders):
            return "the conductor"
        for (rebuilt, host), process in self._rebuilding.items():
            if rebuilt == guest and not process.is_dead:
                return host
        return ""

    # -- sending and placing ----------------------------------------------------------------------

    def _cast(self, order: Order) -> None:
        if isinstance(order, PowerOrder):
            self.queues[order.host].put(order)
            return
        self._world.evacuation_accepted(order.guest)
        self._evacuations.put(order)

    async def _conduct(self, process: Process) -> None:
        while True:
            self._in_hand = await self._evacuations.take(process)
            await self._world.clock.sleep(SCHEDULE_S)
            self._place(self._in_hand)
            self._in_hand = None

    def _place(self, order: EvacuationOrder) -> None:
        """Choose a destination for the oldest accepted record of the guest."""
        records, guest = self.records, order.guest
        if not records.is_there(guest):
            return
        accepted = [
            row
            for _, row in sorted(records.migrations.items())
            if row.guest == guest and row.status == "accepted"
        ]
        number = accepted[0].number if accepted else 0
        where = self._choose(records.servers[guest], order.target)
        if not where:
            records.move_on(number, "error")
            fault = "No valid host was found."
            records.change(guest, vm_state="error", task_state="", fault=fault)
            self._world.events.add("nova_found_no_host", {"guest": guest})
            return
        self._world.events.add("nova_scheduled", {"guest": guest, "host": where})
        records.progress[guest] = Progress(is_passed_on=True)
        self.queues[where].put(RebuildOrder(guest=guest, number=number))

    def _choose(self, server: Server, target: str) -> str:
        fitting = [
            (-self.free_mib(host), host)
            for host, service in sorted(self.records.services.items())
            if service.is_up
            and service.is_enabled
            and host != server.host
            and target in {"", host}
            and self.free_mib(host) >= server.ram_mib
        ]
        return min(fitting)[1] if fitting else ""

    def free_mib(self, host: str) -> int:
        """Tell how much room a host has, beside what is there and what comes."""
        records = self.records
        there = {guest for guest, server in records.servers.items() if server.host == host}
        coming = {
            row.guest
            for row in records.migrations.values()
            if row.destination == host and row.status == "pre-migrating"
        }
        used = sum(records.servers[g].ram_mib for g in there | coming if records.is_there(g))
        return self._ram_mib[host] - used
