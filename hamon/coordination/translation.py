"""Between kazoo's words and hamon's: errors and access rules."""

from __future__ import annotations

from kazoo import exceptions as kz
from kazoo.security import ACL, Id, Permissions

from hamon.coordination.access import X509
from hamon.coordination.connection import NotSentError
from hamon.errors import (
    AccessDeniedError,
    NodeExistsError,
    NodeMissingError,
    Outcome,
    SessionLostError,
    StoreError,
    StoreUnavailableError,
    WriteConflictError,
)
from hamon.ports.store import AccessRule, Permission


def translated(
    error: Exception, operation: str, path: str, outcome_if_unanswered: Outcome
) -> StoreError:
    """Say in hamon's words what ZooKeeper said, and what is known of the change."""
    why = str(error) or type(error).__name__
    not_done = ("store", operation, path, Outcome.NOT_DONE, why)
    match error:
        case kz.BadVersionError() | kz.NotEmptyError():
            return WriteConflictError(*not_done)
        case kz.NoNodeError():
            return NodeMissingError(*not_done)
        case kz.NodeExistsError():
            return NodeExistsError(*not_done)
        case kz.NoAuthError() | kz.AuthFailedError() | kz.InvalidACLError():
            return AccessDeniedError(*not_done)
        case kz.SessionExpiredError():
            return SessionLostError(*not_done)
        case NotSentError() | kz.SessionMovedError():
            return StoreUnavailableError(*not_done)
        case kz.BadArgumentsError() | kz.NoChildrenForEphemeralsError():
            return StoreError(*not_done)
        case _:
            # ConnectionLoss, and whatever leaves open what became of the request.
            return StoreUnavailableError("store", operation, path, outcome_if_unanswered, why)


_BITS = {
    Permission.READ: Permissions.READ,
    Permission.WRITE: Permissions.WRITE,
    Permission.CREATE: Permissions.CREATE,
    Permission.DELETE: Permissions.DELETE,
    Permission.ADMIN: Permissions.ADMIN,
}


def to_acls(access: tuple[AccessRule, ...]) -> list[ACL]:
    """Turn rules into kazoo's. Without any, kazoo would make the znode open to the world."""
    if not access:
        raise ValueError("a znode without access rules")
    return [
        ACL(sum(_BITS[permission] for permission in rule.permissions), _id(rule.identity))
        for rule in access
    ]


def _id(identity: str) -> Id:
    if identity.startswith(X509):
        return Id("x509", identity.removeprefix(X509))
    return Id("digest", identity)


def to_rule(acl: ACL) -> AccessRule:
    """Turn one entry of kazoo's into a rule; other schemes keep their name in front."""
    name = acl.id.id if acl.id.scheme == "digest" else f"{acl.id.scheme}:{acl.id.id}"
    permissions = frozenset(permission for permission, bit in _BITS.items() if acl.perms & bit)
    return AccessRule(identity=name, permissions=permissions)
