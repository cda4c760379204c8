"""Who may do what with each znode, and whether that is so on the ensemble.

CREATE and DELETE are checked on the *parent*, and a znode's own rules do not keep it from being
deleted: hence one parent for everything a host writes. Nothing is open to the world.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hamon.coordination.paths import DIRECTORIES, PlaceKind, child, parse
from hamon.errors import NodeMissingError
from hamon.model.host import HostSpec
from hamon.model.names import HostName
from hamon.ports.store import AccessRule, Permission, Store

CONTROLLERS_USER = "controllers"

X509 = "x509:"
"""Before the subject of a certificate, in the identity of whoever has it."""

_READ = frozenset({Permission.READ})
_READ_WRITE = frozenset({Permission.READ, Permission.WRITE})
_KEEP_CHILDREN = frozenset({Permission.READ, Permission.CREATE, Permission.DELETE})
_ALL = frozenset(Permission)

_HOST_PERMISSIONS: Mapping[PlaceKind, frozenset[Permission]] = {
    PlaceKind.HOST: _READ,
    # The check of its version, in every guarded heartbeat and claim, needs READ.
    PlaceKind.GUARD: _READ,
    # It answers there whether it still goes by an earlier mode.
    PlaceKind.MODE: _READ_WRITE,
    PlaceKind.SELF: _READ_WRITE,
    PlaceKind.ALIVE: _KEEP_CHILDREN,
    PlaceKind.HEARTBEAT: _ALL,
    PlaceKind.ATTENDANCE: _ALL,
    PlaceKind.GUEST_AGENTS: _ALL,
    PlaceKind.DOMAINS: _READ_WRITE,
    PlaceKind.CAPACITY: _READ_WRITE,
    PlaceKind.CHECKS: _READ_WRITE,
    PlaceKind.INVENTORY: _KEEP_CHILDREN,
    PlaceKind.INVENTORY_ENTRY: _READ_WRITE,
    PlaceKind.GRANTS: _READ,
    PlaceKind.GRANT: _READ_WRITE,
}
"""What a host's identity may do with its own znodes; with all others, nothing."""

EPHEMERALS = frozenset({PlaceKind.HEARTBEAT, PlaceKind.ATTENDANCE, PlaceKind.GUEST_AGENTS})
"""What is there while one of the host's processes is."""


def host_user(host: HostName) -> str:
    """Tell the user a host's identity has."""
    return f"host-{host}"


def digest_of(user: str, password: str) -> str:
    """Work out the digest that stands for an identity in access rules."""
    # ZooKeeper's own scheme; a server that uses another algorithm would match none of our rules.
    secret = hashlib.sha1(f"{user}:{password}".encode(), usedforsecurity=False).digest()
    return f"{user}:{base64.b64encode(secret).decode()}"


def subject_identity(subject: str) -> str:
    """Return the identity of whoever has a certificate of this subject (RFC 2253)."""
    return f"{X509}{subject}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identities:
    """The identities that access rules are made of; ``agentless`` hosts have none of their own."""

    controllers: str
    hosts: Mapping[HostName, str] = field(default_factory=dict)
    agentless: frozenset[HostName] = frozenset()


def identities_of(controllers: str, specs: Iterable[HostSpec]) -> Identities:
    """Gather the identities of a cluster: of its controllers, and of the hosts as configured."""
    known = tuple(specs)
    return Identities(
        controllers=controllers,
        hosts={spec.name: spec.zookeeper_identity for spec in known if not spec.agentless},
        agentless=frozenset(spec.name for spec in known if spec.agentless),
    )


def access_for(path: str, identities: Identities) -> tuple[AccessRule, ...]:
    """Work out the rules of the znode at ``path``.

    Raises:
        ValueError: no znode of hamon's has such a path, or its host has no identity.
    """
    place = parse(path)
    if place is None:
        raise ValueError(f"{path} is no path of hamon's")
    # The host owns its ephemerals; controllers remove them through their parent.
    controllers = _READ if place.kind in EPHEMERALS else _ALL
    rules = [AccessRule(identity=identities.controllers, permissions=controllers)]
    permissions = _HOST_PERMISSIONS.get(place.kind)
    has_identity = place.host is not None and place.host not in identities.agentless
    if place.host is not None and has_identity and permissions is not None:
        identity = identities.hosts.get(place.host)
        if not identity:
            raise ValueError(f"{place.host} has no identity for ZooKeeper")
        rules.append(AccessRule(identity=identity, permissions=permissions))
    return tuple(sorted(rules, key=lambda rule: rule.identity))


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """A znode whose rules are not what they must be, or that is not hamon's."""

    path: str
    why: str


async def verify_access(store: Store, identities: Identities) -> tuple[Deviation, ...]:
    """Read the rules of every directory, of what is made at enrolment and of every grant.

    Only those can open a way in; what a host makes below its own parents concerns only itself.
    Hosts that are not in ``identities`` are told as well. Idempotent; takes one call a znode.

    Raises:
        StoreError: the ensemble could not be read.
    """
    deviations: list[Deviation] = []
    waiting = ["/"]
    while waiting:
        path = waiting.pop()
        place = parse(path)
        if place is None:
            deviations.append(Deviation(path=path, why="is not hamon's"))
            continue
        if place.kind in EPHEMERALS | {PlaceKind.INVENTORY_ENTRY}:
            continue
        try:
            deviations += await _verify_one(store, identities, path)
            if place.kind in DIRECTORIES:
                waiting += [child(path, name) for name in await store.children(path)]
        except NodeMissingError:
            # Gone since its parent was listed.
            continue
    return tuple(deviations)


async def _verify_one(store: Store, identities: Identities, path: str) -> list[Deviation]:
    try:
        expected = access_for(path, identities)
    except ValueError as error:
        return [Deviation(path=path, why=str(error))]
    actual = await store.access(path)
    if actual == expected:
        return []
    why = f"{_described(actual)} instead of {_described(expected)}"
    return [Deviation(path=path, why=why)]


def _described(rules: tuple[AccessRule, ...]) -> str:
    """Name users and permissions; hashes stay out of logs."""
    return ", ".join(
        f"{_user(rule.identity)} ({' '.join(sorted(rule.permissions))})" for rule in rules
    )


def _user(identity: str) -> str:
    is_digest = not identity.startswith((X509, "world:"))
    return identity.partition(":")[0] if is_digest else identity
