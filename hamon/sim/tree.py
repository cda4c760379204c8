"""ZooKeeper's tree of znodes in memory: versions, access rules, all-or-nothing transactions.

What it checks, and in which order, is the real server's: CREATE and DELETE on the parent, READ for
a version check, and so on. The contract tests hold it to that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import assert_never

from hamon.errors import (
    AccessDeniedError,
    NodeExistsError,
    NodeMissingError,
    Outcome,
    StoreError,
    WriteConflictError,
)
from hamon.ports.store import (
    AccessRule,
    CheckVersion,
    CreateNode,
    DeleteNode,
    Node,
    Permission,
    SetData,
    StoreOperation,
)

_ANYONE = "world:anyone"
EVERYONE = (AccessRule(identity=_ANYONE, permissions=frozenset(Permission)),)


class ChangeKind(Enum):
    """What became of a znode."""

    CREATED = auto()
    CHANGED = auto()
    DELETED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeChange:
    """One znode that a transaction touched."""

    path: str
    kind: ChangeKind


@dataclass(slots=True, kw_only=True)
class _Znode:
    data: bytes
    access: tuple[AccessRule, ...]
    created_zxid: int
    owner: int = 0
    version: int = 0
    children: set[str] = field(default_factory=set)
    children_made: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: the digests it has proven, and its session."""

    digests: frozenset[str]
    session_id: int


class Tree:
    """The znodes. Every method is atomic; nothing here knows time or connections."""

    def __init__(self, root_access: tuple[AccessRule, ...]) -> None:
        self._znodes = {"/": _Znode(data=b"", access=root_access, created_zxid=0)}
        self._zxid = 0
        self._undo: list[Callable[[], None]] = []

    def get(self, path: str, caller: Caller) -> Node:
        """Read a znode."""
        znode = self._find("get", path)
        _demand("get", path, znode, Permission.READ, caller)
        return Node(
            path=path,
            data=znode.data,
            version=znode.version,
            created_zxid=znode.created_zxid,
            owner=znode.owner,
        )

    def exists(self, path: str) -> bool:
        """Say whether there is such a znode; anybody may ask."""
        return path in self._znodes

    def children(self, path: str, caller: Caller) -> tuple[str, ...]:
        """List the names below a znode, sorted."""
        znode = self._find("children", path)
        _demand("children", path, znode, Permission.READ, caller)
        return tuple(sorted(znode.children))

    def access(self, path: str, caller: Caller) -> tuple[AccessRule, ...]:
        """Read the rules; without ADMIN the digests' hashes are masked."""
        znode = self._find("access", path)
        if _may(znode, Permission.ADMIN, caller):
            rules = znode.access
        else:
            _demand("access", path, znode, Permission.READ, caller)
            rules = tuple(
                AccessRule(
                    identity=rule.identity.partition(":")[0] + ":x", permissions=rule.permissions
                )
                for rule in znode.access
            )
        return tuple(sorted(rules, key=lambda rule: rule.identity))

    def next_in_sequence(self, prefix: str) -> str:
        """Tell the path that a sequential znode of this prefix gets."""
        parent = self._find_parent("create", prefix)
        return f"{prefix}{parent.children_made:010d}"

    def commit(self, operations: Sequence[StoreOperation], caller: Caller) -> list[TreeChange]:
        """Do all of it or none; return what changed, in order.

        Raises:
            StoreError: of the first operation that cannot be done; nothing was done.
        """
        self._zxid += 1
        self._undo = []
        changes: list[TreeChange] = []
        try:
            for operation in operations:
                changes.extend(self._apply(operation, caller))
        except Exception:
            for undo in reversed(self._undo):
                undo()
            raise
        return changes

    def remove_ephemerals(self, session_id: int) -> list[TreeChange]:
        """Remove what a session owned; return what changed, in order."""
        self._zxid += 1
        owned = sorted(path for path, znode in self._znodes.items() if znode.owner == session_id)
        return [self._remove(path) for path in owned]

    def _apply(self, operation: StoreOperation, caller: Caller) -> list[TreeChange]:
        match operation:
            case CheckVersion(path=path, version=version):
                znode = self._find("commit", path)
                _demand("commit", path, znode, Permission.READ, caller)
                _compare(path, znode, version)
                return []
            case CreateNode():
                return [self._create(operation, caller)]
            case SetData(path=path, data=data, version=version):
                znode = self._find("commit", path)
                _demand("commit", path, znode, Permission.WRITE, caller)
                _compare(path, znode, version)
                self._set(znode, data, znode.version + 1)
                return [TreeChange(path=path, kind=ChangeKind.CHANGED)]
            case DeleteNode(path=path, version=version):
                parent = self._find_parent("commit", path)
                _demand("commit", path, parent, Permission.DELETE, caller)
                znode = self._find("commit", path)
                _compare(path, znode, version)
                if znode.children:
                    raise WriteConflictError("store", "commit", path, Outcome.NOT_DONE, "not empty")
                return [self._remove(path)]
            case _:
                assert_never(operation)

    def _create(self, operation: CreateNode, caller: Caller) -> TreeChange:
        path = operation.path
        if not operation.access:
            raise ValueError("a znode without access rules")
        parent = self._find_parent("commit", path)
        _demand("commit", path, parent, Permission.CREATE, caller)
        if path in self._znodes:
            raise NodeExistsError("store", "commit", path, Outcome.NOT_DONE, "exists")
        if parent.owner:
            why = "the parent is ephemeral"
            raise StoreError("store", "commit", path, Outcome.NOT_DONE, why)
        self._add(
            path,
            _Znode(
                data=operation.data,
                access=operation.access,
                created_zxid=self._zxid,
                owner=caller.session_id if operation.is_ephemeral else 0,
            ),
        )
        parent.children_made += 1
        self._undo.append(lambda: setattr(parent, "children_made", parent.children_made - 1))
        return TreeChange(path=path, kind=ChangeKind.CREATED)

    def _set(self, znode: _Znode, data: bytes, version: int) -> None:
        old = (znode.data, znode.version)
        znode.data, znode.version = data, version

        def undo() -> None:
            znode.data, znode.version = old

        self._undo.append(undo)

    def _add(self, path: str, znode: _Znode) -> None:
        self._znodes[path] = znode
        self._znodes[_parent(path)].children.add(_name(path))
        self._undo.append(lambda: self._forget(path))

    def _remove(self, path: str) -> TreeChange:
        znode = self._znodes[path]
        self._forget(path)

        def undo() -> None:
            self._znodes[path] = znode
            self._znodes[_parent(path)].children.add(_name(path))

        self._undo.append(undo)
        return TreeChange(path=path, kind=ChangeKind.DELETED)

    def _forget(self, path: str) -> None:
        del self._znodes[path]
        self._znodes[_parent(path)].children.discard(_name(path))

    def _find(self, operation: str, path: str) -> _Znode:
        try:
            return self._znodes[path]
        except KeyError:
            why = "does not exist"
            raise NodeMissingError("store", operation, path, Outcome.NOT_DONE, why) from None

    def _find_parent(self, operation: str, path: str) -> _Znode:
        """The znode above; what is told when there is none is the path that was asked for."""
        try:
            return self._znodes[_parent(path)]
        except KeyError:
            why = "the parent does not exist"
            raise NodeMissingError("store", operation, path, Outcome.NOT_DONE, why) from None


def _may(znode: _Znode, permission: Permission, caller: Caller) -> bool:
    names = caller.digests | {_ANYONE}
    return any(rule.identity in names and permission in rule.permissions for rule in znode.access)


def _demand(
    operation: str, path: str, znode: _Znode, permission: Permission, caller: Caller
) -> None:
    if not _may(znode, permission, caller):
        why = f"{permission} denied"
        raise AccessDeniedError("store", operation, path, Outcome.NOT_DONE, why)


def _compare(path: str, znode: _Znode, version: int) -> None:
    if version < 0:
        raise ValueError(f"{path}: {version} is not a version")
    if znode.version != version:
        why = f"version is {znode.version}, not {version}"
        raise WriteConflictError("store", "commit", path, Outcome.NOT_DONE, why)


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _name(path: str) -> str:
    return path.rpartition("/")[2]
