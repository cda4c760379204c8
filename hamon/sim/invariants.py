"""The referee: rules of reference S1-S13 held against the truth after every change of the world.

It reads what no part of hamon can see: who really has power, and which copies really run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hamon.coordination.paths import PlaceKind
from hamon.model.guest import OPEN_GRANTS, Grant, GrantState
from hamon.model.host import HostGuard, HostRecord, HostState, Right
from hamon.model.incident import (
    OPEN_MIGRATIONS,
    IncidentRecord,
    MigrationRecord,
    ShotOutcome,
    Trigger,
)
from hamon.model.names import BootId, ControllerId, GuestId, HostName
from hamon.model.policy import Backend, Policy
from hamon.ports.store import CheckVersion
from hamon.sim.ensemble import Commit
from hamon.sim.host import SimulatedHost
from hamon.sim.ledger import Ledger, Written

LEASE_MARGIN_S = 1e-6
"""Rounding of virtual seconds; nothing real."""

HEARD_S = 5.0
"""A host that has answered a controller's probes for so long must not be convicted by it."""

_LEADERS = frozenset(
    {
        PlaceKind.CONTROL,
        PlaceKind.STORMS,
        PlaceKind.GUARD,
        PlaceKind.RECORD,
        PlaceKind.GUEST,
        PlaceKind.INCIDENT_RECORD,
        PlaceKind.MIGRATION,
    }
)
"""Znodes that only a leader in office may write."""

_PROVEN = frozenset({HostState.FENCED, HostState.EVACUATING, HostState.EVACUATED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A rule that did not hold."""

    rule: str
    at_s: float
    what: str

    def __str__(self) -> str:  # type: ignore[explicit-override]
        return f"{self.rule} violated at {self.at_s:.3f} s: {self.what}"


@dataclass(slots=True)
class _Bump:
    """When the present epoch began, and whose it is."""

    epoch: int = 0
    at_s: float = 0.0
    controller: str = ""


@dataclass(slots=True)
class Referee:
    """Watches one world. ``violations`` is what it found; the first one counts."""

    ledger: Ledger
    hosts: Mapping[HostName, SimulatedHost]
    policy: Policy
    now_s: Callable[[], float]
    heard_for_s: Callable[[HostName, ControllerId], float]
    violations: list[Violation] = field(default_factory=list)
    _bump: _Bump = field(default_factory=_Bump)
    _convicted_s: dict[HostName, float] = field(default_factory=dict)

    def blame(self, rule: str, what: str) -> None:
        """Note that a rule did not hold."""
        self.violations.append(Violation(rule=rule, at_s=self.now_s(), what=what))

    # -- what truly runs --------------------------------------------------------------------------

    def writers(self, guest: GuestId) -> tuple[HostName, ...]:
        """Name the hosts on which a copy of the guest runs, with its disk open for writing."""
        return tuple(
            name
            for name, host in sorted(self.hosts.items())
            if host.is_running and guest in host.hypervisor.running()
        )

    def started(self, host: HostName, guest: GuestId) -> None:
        """Judge a start, the moment it happens."""
        writers = self.writers(guest)
        if len(writers) > 1:
            self.blame("S1", f"guest {guest} runs on {' and '.join(writers)}")
        guard = self.ledger.guard(host)
        boot_id = self.hosts[host].boot_id
        is_shut = guard is not None and guard.right is Right.SHUT_OUT and guard.boot_id != boot_id
        if self.policy.backend is Backend.NOVA:
            self._judge_start_by_nova(host, guest)
        elif is_shut and self.ledger.guest(guest) is not None:
            self.blame("S13", f"guest {guest} started on {host}, which is still shut out")

    def _judge_start_by_nova(self, host: HostName, guest: GuestId) -> None:
        """S13: what was moved away from a host does not start there while it is denied."""
        grant = self.ledger.grants.get(guest, {}).get(host)
        if grant is not None and grant.state in {GrantState.REVOKED, GrantState.RELEASED}:
            self.blame("S13", f"guest {guest} started on {host}, which it was moved away from")

    # -- what is written --------------------------------------------------------------------------

    def committed(self, written: tuple[Written, ...], commit: Commit | None) -> None:
        """Judge one transaction."""
        if commit is not None:
            self._judge_epoch(written, commit)
        for node in written:
            match node.after:
                case HostGuard() if isinstance(node.before, HostGuard):
                    self._judge_guard(node.place.host, node.before, node.after, written)
                case HostRecord() if node.after.state is HostState.FENCED:
                    self._judge_fenced(node.place.host, node.before, node.after)
                case Grant() if node.place.host is not None and node.place.guest is not None:
                    self._judge_grant(node.place.host, node.place.guest, node.before, node.after)
                case MigrationRecord():
                    self._judge_migration(node.after)
                case IncidentRecord():
                    self._judge_shots(node.before, node.after)
                case _:
                    pass

    def _judge_epoch(self, written: tuple[Written, ...], commit: Commit) -> None:
        """S5: leaders' znodes change only under the present epoch, by whom it belongs to."""
        if any(node.place.kind is PlaceKind.EPOCH for node in written):
            self._bump.epoch = self.ledger.version(PlaceKind.EPOCH)
            self._bump.at_s = self.now_s()
            self._bump.controller = commit.process.name
            return
        touched = [node.place for node in written if node.place.kind in _LEADERS]
        if not touched or any(node.before is None and _is_enrolment(node) for node in written):
            return
        is_guarded = any(
            isinstance(operation, CheckVersion) and operation.path == PlaceKind.EPOCH
            for operation in commit.operations
        )
        if not is_guarded or commit.process.name != self._bump.controller:
            self.blame("S5", f"{commit.process.name} wrote {touched[0].kind} outside of its term")

    def _judge_guard(
        self,
        host: HostName | None,
        before: HostGuard,
        after: HostGuard,
        written: tuple[Written, ...],
    ) -> None:
        assert host is not None
        if before.right is Right.LIVE and after.right is Right.SHUT_OUT:
            opened = next(n.after for n in written if isinstance(n.after, IncidentRecord))
            self._judge_conviction(host, after, opened)
        if before.right is Right.SHUT_OUT and after.right is Right.LIVE:
            self._judge_return(host, before)

    def _judge_conviction(self, host: HostName, guard: HostGuard, opened: IncidentRecord) -> None:
        if self.ledger.has_heartbeat(host) and self._is_alive(host, guard.boot_id):
            self.blame("S4", f"{host} was convicted while it was alive and registered")
        if not self.ledger.control().is_armed:
            self.blame("S10", f"{host} was convicted while disarmed")
        self._convicted_s[host] = self.now_s()
        if opened.trigger is not Trigger.DETECTOR:
            return
        if host in self.ledger.control().maintenance:
            self.blame("S11", f"{host} was convicted in maintenance")
        heard_s = self.heard_for_s(host, ControllerId(self._bump.controller))
        if self._is_alive(host, guard.boot_id) and heard_s > HEARD_S:
            self.blame("S4", f"{host} was convicted although it answers since {heard_s:.1f} s")
        window_s = self.policy.holds.storm_window_s
        troubled = [
            name
            for name, convicted_s in self._convicted_s.items()
            if self.now_s() - convicted_s <= window_s
            and self._is_troubled(name)
            and name not in self.ledger.control().maintenance
            and not any(name in release.hosts for release in self.ledger.control().releases)
        ]
        share = int(len(self.hosts) * self.policy.holds.storm_share_max)
        limit = max(1, min(self.policy.holds.storm_hosts_max, share))
        if len(troubled) > limit:
            self.blame("S9", f"{', '.join(sorted(troubled))} convicted, at most {limit} may be")

    def _is_troubled(self, host: HostName) -> bool:
        guard, record = self.ledger.guard(host), self.ledger.record(host)
        is_returning = record is not None and record.state is HostState.RETURNING
        return guard is not None and guard.right is Right.SHUT_OUT and not is_returning

    def _judge_return(self, host: HostName, before: HostGuard) -> None:
        """S13, S14: only another boot lives again, and only without what moved away."""
        machine = self.hosts[host]
        if machine.is_running and machine.boot_id == before.boot_id:
            self.blame("S14", f"{host} was let live in the boot that was shut out")
        for guest, grants in sorted(self.ledger.grants.items()):
            grant, owned = grants.get(host), self.ledger.guest(guest)
            if grant is not None and grant.state is GrantState.REVOKED:
                self.blame("S13", f"{host} was let live with the grant of {guest} revoked")
            is_away = owned is not None and owned.owner not in {host, None}
            if is_away and machine.is_running and guest in machine.hypervisor.running():
                self.blame("S13", f"{host} was let live while the stale {guest} runs there")
        self._convicted_s.pop(host, None)

    def _is_alive(self, host: HostName, boot_id: BootId | None) -> bool:
        machine = self.hosts[host]
        return machine.is_running and machine.boot_id == boot_id

    def _judge_fenced(self, host: HostName | None, before: object, after: HostRecord) -> None:
        """S3: what is called proven is true."""
        assert host is not None
        if isinstance(before, HostRecord) and before.state in _PROVEN:
            return
        guard, incident = self.ledger.guard(host), self.ledger.incident(after.incident)
        if guard is None or incident is None or incident.proof is None:
            self.blame("S2", f"{host} is FENCED without a proof")
            return
        if self._is_alive(host, guard.boot_id):
            self.blame("S3", f"{host} is FENCED but its boot {guard.boot_id} runs")

    def _judge_grant(self, host: HostName, guest: GuestId, before: object, after: Grant) -> None:
        grants = self.ledger.grants.get(guest, {})
        holders = sorted(name for name, grant in grants.items() if grant.state in OPEN_GRANTS)
        if len(holders) > 1:
            self.blame("S6", f"grants of {guest} are open on {' and '.join(holders)}")
        is_ended = (
            after.state is GrantState.REVOKED
            and isinstance(before, Grant)
            and before.state in OPEN_GRANTS - {GrantState.OFFERED}
            and self._is_alive(host, before.boot_id)
        )
        if is_ended:
            self.blame("S2", f"the claim of {guest} on {host} was revoked while its boot runs")
        if after.state is GrantState.OFFERED and after.definition:
            self._judge_offer(host, guest, after)

    def _judge_offer(self, host: HostName, guest: GuestId, grant: Grant) -> None:
        """S2, S15: no offer without a proof of the source's very boot; never to a bad host."""
        migrations = self.ledger.migrations.get(guest, {})
        migration = migrations.get(grant.incident) if grant.incident is not None else None
        if migration is None:
            self.blame("S2", f"{guest} was offered to {host} without a migration")
            return
        source = migration.source_compute
        guard, record = self.ledger.guard(source), self.ledger.record(source)
        incident = self.ledger.incident(grant.incident)
        is_proven = (
            guard is not None
            and guard.right is Right.SHUT_OUT
            and record is not None
            and record.state in _PROVEN
            and incident is not None
            and incident.proof is not None
            and incident.proof.boot_id == guard.boot_id
        )
        if not is_proven:
            self.blame("S2", f"{guest} was offered to {host} without a proof of {source}")
        elif guard is not None and self._is_alive(source, guard.boot_id):
            self.blame("S2", f"{guest} was offered to {host} while {source} runs")
        if any(name != host for name in self.writers(guest)):
            self.blame("S2", f"{guest} was offered to {host} while it runs elsewhere")
        target = self.ledger.guard(host)
        if host == source or target is None or target.right is not Right.LIVE:
            self.blame("S15", f"{guest} was offered to {host}")
        if not self.ledger.control().is_armed:
            self.blame("S10", f"{guest} was offered while disarmed")

    def _judge_migration(self, record: MigrationRecord) -> None:
        migrations = self.ledger.migrations.get(record.guest, {})
        names = sorted(n for n, m in migrations.items() if m.status in OPEN_MIGRATIONS)
        if len(names) > 1:
            self.blame("S6", f"{record.guest} is in {' and '.join(names)}")

    def _judge_shots(self, before: object, after: IncidentRecord) -> None:
        known = len(before.shots) if isinstance(before, IncidentRecord) else 0
        is_new = len(after.shots) > known and after.shots[-1].outcome is ShotOutcome.PENDING
        if is_new and not self.ledger.control().is_armed:
            self.blame("S10", f"a shot at {after.host} was journalled while disarmed")

    # -- what is done outside ---------------------------------------------------------------------

    def shot(self, controller: ControllerId, host: HostName, sent_s: float) -> None:
        """S5, S10: judge an order at the moment its child begins."""
        now_s = self.now_s()
        lease_s = self.policy.fencing.lease_s
        if now_s - sent_s > lease_s + LEASE_MARGIN_S:
            self.blame("S5", f"a shot at {host} began {now_s - sent_s:.3f} s after its intent")
        in_office_s = now_s - self._bump.at_s
        if controller != self._bump.controller and in_office_s > lease_s + LEASE_MARGIN_S:
            self.blame("S5", f"{controller} shoots at {host} although deposed {in_office_s:.3f} s")
        if controller == self._bump.controller and in_office_s < lease_s:
            self.blame("S5", f"{controller} shoots at {host} {in_office_s:.3f} s after its bump")
        guard = self.ledger.guard(host)
        if guard is None or guard.right is not Right.SHUT_OUT:
            self.blame("S11", f"{controller} shoots at {host}, which has the right to live")

    def asked(self, controller: ControllerId, guest: GuestId, source: HostName) -> None:
        """S2, S5, S10: judge a request to Nova to rebuild a guest, the moment it is sent."""
        now_s, lease_s = self.now_s(), self.policy.fencing.lease_s
        in_office_s = now_s - self._bump.at_s
        if controller != self._bump.controller and in_office_s > lease_s + LEASE_MARGIN_S:
            self.blame("S5", f"{controller} asks for {guest} although deposed {in_office_s:.3f} s")
        guard, record = self.ledger.guard(source), self.ledger.record(source)
        is_proven = (
            guard is not None
            and guard.right is Right.SHUT_OUT
            and record is not None
            and record.state in _PROVEN
        )
        if not is_proven:
            self.blame("S2", f"{guest} was asked for without a proof of {source}")
        writers = self.writers(guest)
        if writers:
            self.blame("S2", f"{guest} was asked for while it runs on {' and '.join(writers)}")
        owned = self.ledger.guest(guest)
        if owned is None or owned.migration is None:
            self.blame("S6", f"{guest} was asked for without a record")


def _is_enrolment(node: Written) -> bool:
    return node.place.kind is PlaceKind.GUARD and node.before is None
