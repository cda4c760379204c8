"""Reading decisions: what is written, what is checked, and what no decision may ever contain."""

from __future__ import annotations

from collections.abc import Iterable

from hamon.model.change import (
    Change,
    Check,
    Create,
    Decision,
    Delete,
    NodeKey,
    NodeKind,
    Update,
    Value,
    Versioned,
)
from hamon.model.guest import GRANT_TRANSITIONS, OPEN_GRANTS, Grant, GrantState
from hamon.model.host import HOST_TRANSITIONS, HostRecord, HostState
from hamon.model.incident import MIGRATION_TRANSITIONS, MigrationRecord
from hamon.model.names import GuestId, HostName
from hamon.model.view import ClusterView


def changes_of(decision: Decision) -> tuple[Change, ...]:
    """Every change of a decision, those of its intents too."""
    return (*decision.transitions, *(intent.change for intent in decision.intents))


def checks(change: Change) -> dict[NodeKey, int]:
    """What a change guards itself by: every znode whose version it names, written or not."""
    return {
        operation.key: operation.version
        for operation in change.operations
        if not isinstance(operation, Create)
    }


def writes(*changes: Change) -> dict[NodeKey, Value]:
    """What changes write, by znode."""
    return {
        operation.key: operation.value
        for change in changes
        for operation in change.operations
        if isinstance(operation, Create | Update)
    }


def state_written(decision: Decision, host: HostName) -> HostState | None:
    """The state that a decision brings a host into, None: it leaves it as it is."""
    for key, value in writes(*changes_of(decision)).items():
        if key.kind is NodeKind.RECORD and key.host == host:
            assert isinstance(value, HostRecord)
            return value.state
    return None


def offered(decision: Decision) -> dict[GuestId, HostName]:
    """Guests that a decision offers to hosts."""
    return {
        key.guest: key.host
        for key, value in writes(*changes_of(decision)).items()
        if isinstance(value, Grant)
        and value.state is GrantState.OFFERED
        and key.guest is not None
        and key.host is not None
    }


def codes(decision: Decision) -> set[str]:
    """The codes of all reasons of a decision, and of its changes."""
    return {r.code for r in decision.reasons} | {c.reason.code for c in changes_of(decision)}


def current_version(view: ClusterView, key: NodeKey) -> int | None:
    """The version a znode has in the view, None: it does not exist there."""
    found = _find(view, key)
    return found.version if found is not None else None


def assert_sound(view: ClusterView, decision: Decision) -> None:
    """Hold a decision to what is true of every decision, whatever the world looks like."""
    written: list[NodeKey] = []
    for change in changes_of(decision):
        for operation in change.operations:
            known = _find(view, operation.key)
            if isinstance(operation, Create):
                assert known is None, f"{operation.key} exists"
            else:
                assert known is not None, f"{operation.key} does not exist"
                assert known.version == operation.version, f"{operation.key}: not its version"
            if not isinstance(operation, Check):
                written.append(operation.key)
            if isinstance(operation, Update):
                assert known is not None
                _assert_lawful(known.value, operation.value)
            assert not isinstance(operation, Delete), "nothing is deleted by deciding"
    assert len(set(written)) == len(written), "a znode is written twice"
    _assert_one_open_grant(view, changes_of(decision))


def _assert_lawful(old: object, new: Value) -> None:
    match old, new:
        case HostRecord(), HostRecord() if old.state is not new.state:
            assert new.state in HOST_TRANSITIONS[old.state], f"host {old.state} -> {new.state}"
        case Grant(), Grant():
            assert new.state in GRANT_TRANSITIONS[old.state], f"grant {old.state} -> {new.state}"
        case MigrationRecord(), MigrationRecord():
            lawful = MIGRATION_TRANSITIONS[old.status]
            assert new.status in lawful, f"migration {old.status} -> {new.status}"
        case _:
            pass


def _assert_one_open_grant(view: ClusterView, changes: Iterable[Change]) -> None:
    """S1: no decision opens a second grant of a guest."""
    grants = {
        (host.name, guest): grant.value.state
        for host in view.hosts.values()
        for guest, grant in host.grants.items()
    }
    before = _open(grants)
    for key, value in writes(*changes).items():
        if isinstance(value, Grant):
            assert key.host is not None
            assert key.guest is not None
            grants[key.host, key.guest] = value.state
    for guest, holders in _open(grants).items():
        assert len(holders) <= max(1, len(before.get(guest, ()))), f"{guest}: {holders}"


def _open(grants: dict[tuple[HostName, GuestId], GrantState]) -> dict[GuestId, set[HostName]]:
    holders: dict[GuestId, set[HostName]] = {}
    for (host, guest), state in grants.items():
        if state in OPEN_GRANTS:
            holders.setdefault(guest, set()).add(host)
    return holders


def _find(view: ClusterView, key: NodeKey) -> Versioned[object] | None:
    host = view.hosts.get(key.host) if key.host is not None else None
    incident = view.incidents.get(key.incident) if key.incident is not None else None
    found: object | None = None
    match key.kind:
        case NodeKind.CONTROL:
            found = view.control
        case NodeKind.STORMS:
            found = view.storms
        case NodeKind.REQUEST:
            found = view.requests.get(key.sequence)
        case NodeKind.GUEST if key.guest is not None:
            found = view.guests.get(key.guest)
        case NodeKind.GUARD if host is not None:
            found = host.guard
        case NodeKind.MODE if host is not None:
            found = host.mode
        case NodeKind.RECORD if host is not None:
            found = host.record
        case NodeKind.SELF if host is not None:
            found = host.self_
        case NodeKind.GRANT if host is not None and key.guest is not None:
            found = host.grants.get(key.guest)
        case NodeKind.INCIDENT if incident is not None:
            found = incident.record
        case NodeKind.MIGRATION if incident is not None and key.guest is not None:
            migration = incident.migrations.get(key.guest)
            found = migration.record if migration is not None else None
        case _:
            found = None
    assert found is None or isinstance(found, Versioned)
    return found
