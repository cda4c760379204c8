"""Seeded random walks: faults at random, invariants after every step, liveness once all healed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from hamon.model.guest_policy import (
    EVACUATE,
    PRIORITY,
    READY,
    READY_ADDRESS,
    READY_TIMEOUT,
    RESTART,
    ReadyCheck,
    Restart,
)
from hamon.model.names import HostName
from hamon.model.policy import Backend
from hamon.sim.events import Event
from hamon.sim.faults import do, heal
from hamon.sim.guest_plan import GuestPlan
from hamon.sim.invariants import Violation
from hamon.sim.liveness import unfinished
from hamon.sim.loop import run_virtual
from hamon.sim.plan import PLANES, Plan, policy_for_walks
from hamon.sim.world import InvariantError, World

STEPS = 12
PAUSES_S = (0.05, 0.5, 2.0, 5.0, 9.0)
"""From one fault to the next, at random up to one of these."""

CALM_S = 30.0
HEALED_S = 150.0
"""How long a healed world may take until nothing hangs: every back-off, and a boot or two."""

HEALED_NOVA_S = 420.0
"""With Nova: also what was asked for and is not known, and what no conductor took up."""


SAID_SHARE = 0.3
RESERVED_SHARE = 0.3
"""Of the guests so many have something said of them, of the later hosts so many are reserved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """What became of one walk."""

    seed: int
    backend: Backend
    digest: str
    steps: int
    virtual_s: float
    violation: Violation | None

    @property
    def verdict(self) -> str:
        """One line, with what to run to see it again."""
        if self.violation is None:
            return f"seed {self.seed}: well after {self.virtual_s:.0f} virtual seconds"
        return (
            f"seed {self.seed}, step {self.steps}: {self.violation}\n"
            f"    python -m hamon.sim walk --seed {self.seed} --backend {self.backend} --verbose"
        )


def walk(
    seed: int,
    steps: int = STEPS,
    echo: Callable[[Event], None] | None = None,
    backend: Backend = Backend.LIBVIRT,
) -> Walk:
    """Walk once; never raises for what hamon did wrong."""
    random.seed(seed)
    return run_virtual(lambda: _walk(seed, steps, echo, backend))


async def _walk(
    seed: int, steps: int, echo: Callable[[Event], None] | None, backend: Backend
) -> Walk:
    luck = Random(seed)
    world = World(_plan(luck, seed, backend), echo)
    violation: Violation | None = None
    with world.events.capture():
        try:
            await world.begin()
            for _ in range(steps):
                verb = _choose(world, luck)
                if verb:
                    do(world, *verb)
                await world.sleep(luck.uniform(0.0, luck.choice(PAUSES_S)))
            heal(world)
            do(world, "request", "arm")
            violation = await _come_to_rest(world)
        except InvariantError as error:
            violation = error.violation
        step, now_s, digest = world.batches(), world.clock.now_s(), world.events.digest()
        await world.end()
    return Walk(
        seed=seed,
        backend=backend,
        digest=digest,
        steps=step,
        virtual_s=now_s,
        violation=violation,
    )


async def _come_to_rest(world: World) -> Violation | None:
    """Wait until nothing hangs; return what still does when the time is over."""
    waited_s = 0.0
    while True:
        await world.sleep(CALM_S)
        # Once more: some faults wait for their moment, as a libvirtd that stops at the next start.
        heal(world)
        waited_s += CALM_S
        hanging = next(iter(unfinished(world)), None)
        limit_s = HEALED_S if world.nova is None else HEALED_NOVA_S
        if hanging is None or waited_s >= limit_s:
            return hanging


def _plan(luck: Random, seed: int, backend: Backend) -> Plan:
    hosts = tuple(f"compute-{number}" for number in range(1, luck.randint(3, 5) + 1))
    # Luck of their own, so that what may be said of guests changes nothing else of a seed's story.
    words = Random(f"words of {seed}")
    guests = tuple(
        GuestPlan(
            name=f"g{number}",
            host=luck.choice(hosts[:2]),
            ram_mib=luck.choice((512, 2048)),
            said=_words(words, number),
        )
        for number in range(1, luck.randint(2, 6) + 1)
    )
    reserved = tuple(host for host in hosts[2:] if words.random() < RESERVED_SHARE)
    room_mib = luck.choice((4096, 16384))
    return Plan(
        hosts=hosts,
        guests=guests,
        reserved=reserved,
        host_ram_mib=room_mib,
        backend=backend,
        policy=policy_for_walks(),
        seed=seed,
    )


def _words(luck: Random, number: int) -> dict[str, str]:
    """Return what is said of a guest; of most nothing."""
    if luck.random() >= SAID_SHARE:
        return {}
    said = {PRIORITY: luck.choice(("1", "50", "100", "high"))}
    if luck.random() < SAID_SHARE:
        said |= {RESTART: luck.choice(tuple(Restart)), EVACUATE: luck.choice(("false", "true"))}
    if luck.random() < SAID_SHARE:
        by_agent = number % 2 == 0
        said |= (
            {READY: ReadyCheck.GUEST_AGENT}
            if by_agent
            else {READY: "tcp:22", READY_ADDRESS: f"10.0.0.{number}"}
        )
        said |= {READY_TIMEOUT: luck.choice(("5", "60"))}
    return said


def _choose(world: World, luck: Random) -> tuple[str, ...]:
    """Choose a fault that can happen now; empty: none this time."""
    host = luck.choice(sorted(world.hosts))
    controller = luck.choice(("leader", "leader", "standby"))
    guest = luck.choice(sorted(plan.name for plan in world.guests.values()))
    machine = world.hosts[host]
    verbs: list[tuple[str, ...]] = [
        ("power", host, "off"),
        ("power", host, "off"),
        ("power", "compute-1", "off"),
        ("power", host, "on"),
        ("power", host, "on"),
        ("reboot", host),
        ("leave", host, luck.choice(("shutdown", "reboot"))),
        ("heartbeat", host, luck.choice(("kill", "start", "restart", "pause", "resume"))),
        ("guests-agent", host, luck.choice(("kill", "start", "restart", "pause", "resume"))),
        ("libvirtd", host, luck.choice(("kill", "start", "pause", "resume", "pause-at-start"))),
        ("libvirtd", host, "lose-start"),
        ("virsh", luck.choice(("start", "start", "break", "repair")), host, guest),
        ("controller", controller, luck.choice(("kill", "start", "pause", "resume"))),
        ("controller", controller, luck.choice(("lose-reply", "lose-request"))),
        ("quorum", luck.choice(("lose", "regain"))),
        ("expire", luck.choice(("all", "leader", "standby"))),
        ("request", luck.choice(("arm", "arm", "disarm"))),
        ("request", luck.choice(("maintenance_on", "maintenance_off")), host),
        ("request", "evacuate_host", host),
        ("request", "reserve", host),
    ]
    # A device that lies Off about a host that nothing else can be heard of is beyond proof: no
    # system could tell. So a liar keeps its planes, and a host without planes its honest device.
    planes = [plane for plane, party in world.cuts if party == host]
    lies = world.has_liar(HostName(host))
    if not lies:
        verbs.append(("plane", luck.choice(PLANES), host, luck.choice(("cut", "restore"))))
    harmless = ("ok", "dead", "refuse", "lie-on", "ignore-off", "lose-answer", "slow")
    verbs.append(("bmc", host, luck.choice(harmless)))
    if not planes and machine.is_running and not _is_any_controller_cut(world):
        verbs.append(("bmc", host, "lie-off"))
    if not world.liars():
        party = luck.choice(sorted(world.controllers))
        verbs.append(("plane", luck.choice(PLANES), party, luck.choice(("cut", "restore"))))
    if world.nova is not None:
        verbs += _verbs_of_nova(luck, host, guest)
    return luck.choice(verbs)


def _verbs_of_nova(luck: Random, host: str, guest: str) -> list[tuple[str, ...]]:
    """Return what Nova, its users and its computes may come to do now."""
    api = ("unwell", "slow", "ok", "ok", "lose-request", "lose-answer")
    compute = ("nova-compute", host, luck.choice(("kill", "start", "restart", "pause", "resume")))
    return [
        ("nova", luck.choice(api)),
        ("nova", luck.choice(("conductor-kill", "conductor-start"))),
        compute,
        compute,
        ("server", luck.choice(("start", "start", "stop", "reboot", "delete")), guest),
    ]


def _is_any_controller_cut(world: World) -> bool:
    return any(party in world.controllers for _, party in world.cuts)
