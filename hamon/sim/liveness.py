"""What must be true once faults have healed and time has passed: nothing hangs without a reason."""

from __future__ import annotations

from hamon.decide.tick import decide
from hamon.model.guest import GuestRecord, PowerState
from hamon.model.host import LIVE_STATES
from hamon.model.incident import MigrationStatus
from hamon.model.names import GuestId, HostName
from hamon.model.reason import Reason
from hamon.sim.invariants import Violation
from hamon.sim.world import World


def unfinished(world: World) -> tuple[Violation, ...]:
    """Return what hangs: no leader, a guest that runs nowhere, an incident, each without reason."""
    leaders = [c for c in world.controllers.values() if c.is_leading and not c.is_paused]
    last = leaders[0].last if len(leaders) == 1 else None
    if last is None or last.view is None:
        return (_hang(world, f"{len(leaders)} controllers lead"),)
    decision = decide(last.view, world.policy, world.clock.now_s())
    said: dict[str, list[Reason]] = {}
    for reason in decision.reasons:
        said.setdefault(reason.subject, []).append(reason)
    judge = _guest if world.nova is None else _guest_of_nova
    found = [
        *(judge(world, guest, said) for guest in world.guests),
        *(_host(world, host, said) for host in world.hosts),
    ]
    return tuple(_hang(world, what) for what in found if what)


def _hang(world: World, what: str) -> Violation:
    return Violation(rule="liveness", at_s=world.clock.now_s(), what=what)


def _guest(world: World, guest: GuestId, said: dict[str, list[Reason]]) -> str:
    """Say how a guest hangs; empty: it runs as wanted, or somebody says why not."""
    name = world.guests[guest].name
    record = world.ledger.guest(guest)
    if record is None or record.owner is None:
        return ""
    writers = world.referee.writers(guest)
    wanted = _wanted(world, guest, record)
    if wanted is PowerState.SHUTOFF or (len(writers) == 1 and record.migration is None):
        return ""
    owner = world.hosts[record.owner]
    if record.migration is not None:
        migration = world.ledger.migrations[guest][record.migration]
        is_said = migration.status is MigrationStatus.WAITING and bool(migration.reason)
        if is_said or said.get(guest) or said.get(record.owner):
            return ""
        return f"guest {name} is {migration.status} for ever, and nobody says why"
    if said.get(guest) or said.get(owner.name):
        return ""
    state = world.ledger.record(owner.name)
    return f"guest {name} does not run; its owner {owner.name} is {state.state if state else None}"


def _guest_of_nova(world: World, guest: GuestId, said: dict[str, list[Reason]]) -> str:
    """Say how a guest of Nova's hangs; empty: it is as Nova says, or somebody says why not.

    In ERROR it is Nova that says so, to its owner.
    """
    assert world.nova is not None
    name, server = world.guests[guest].name, world.nova.records.servers[guest]
    writers = world.referee.writers(guest)
    if said.get(guest) or said.get(server.host):
        return ""
    record = world.ledger.guest(guest)
    if record is not None and record.migration is not None:
        status = world.ledger.migrations[guest][record.migration].status
        return f"guest {name} is {status} for ever, and nobody says why"
    if not world.nova.records.is_there(guest) or server.vm_state == "error":
        return ""
    runs_at = (server.host,) if server.vm_state == "active" else ()
    if server.task_state or writers != runs_at:
        is_now = f"{server.vm_state} {server.task_state}".strip()
        where = " and ".join(writers) or "nowhere"
        return f"guest {name} is {is_now} on {server.host} by Nova's word and runs {where}"
    return ""


def _wanted(world: World, guest: GuestId, record: GuestRecord) -> PowerState:
    assert record.owner is not None
    for host, entry in world.inventory(guest):
        if host == record.owner:
            return entry.wanted
    return record.wanted


def _host(world: World, host: HostName, said: dict[str, list[Reason]]) -> str:
    machine, record = world.hosts[host], world.ledger.record(host)
    if record is None or said.get(host):
        return ""
    if machine.is_running and record.state not in LIVE_STATES:
        return f"host {host} runs but stays {record.state}, and nobody says why"
    if not machine.is_on and record.state in LIVE_STATES:
        return f"host {host} has no power but is {record.state}, and nobody says why"
    return ""
