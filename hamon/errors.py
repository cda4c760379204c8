"""The errors hamon raises: one small taxonomy for every room.

Rules:

1. What an operator got wrong is a :class:`ConfigError` or a :class:`RequestRefusedError`:
   it says what is wrong, where, and what to do.
2. What the world did is a :class:`PortError`. Its ``outcome`` says whether the attempted change is
   known not to have happened (``NOT_DONE``) or whether nobody knows (``UNKNOWN``). Unknown is never
   failure: look again before anything is repeated.
3. A broken invariant is an ``AssertionError``: the process ends and its successor reads again.
"""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """What is known about a change that did not report success."""

    NOT_DONE = "not_done"
    UNKNOWN = "unknown"


class HamonError(Exception):
    """Base of every error hamon raises on purpose."""


class ConfigError(HamonError):
    """The configuration cannot be used; hamon never starts half configured (exit code 78).

    Args:
        path: file the value was read from.
        key: dotted name of the key, empty when the whole file is meant.
        why: what is wrong and what to do, one sentence; shows the sum when arithmetic failed.
    """

    def __init__(self, path: str, key: str, why: str) -> None:
        super().__init__(f"{path}: {key}: {why}" if key else f"{path}: {why}")
        self.path = path
        self.key = key
        self.why = why


class RequestRefusedError(HamonError):
    """A command was understood and refused; nothing was changed (exit code 1).

    Args:
        why: what stands in the way.
        advice: what the operator can do about it; empty when there is nothing to do.
    """

    def __init__(self, why: str, advice: str = "") -> None:
        super().__init__(f"{why}\n{advice}" if advice else why)
        self.why = why
        self.advice = advice


class DeposedError(HamonError):
    """The epoch moved on: this controller no longer leads. Step down now, never retry."""


class PortError(HamonError):
    """A call to an outside system did not succeed.

    Args:
        port: the port's name, for example ``store`` or ``power``.
        operation: the call that failed.
        target: what it was about (a path, a host).
        outcome: whether the change may have happened all the same.
        why: cause as told by the outside system, without secrets.
    """

    def __init__(self, port: str, operation: str, target: str, outcome: Outcome, why: str) -> None:
        super().__init__(f"{port}.{operation} {target}: {why} ({outcome})")
        self.port = port
        self.operation = operation
        self.target = target
        self.outcome = outcome
        self.why = why


class StoreError(PortError):
    """ZooKeeper did not do what was asked."""


class StoreUnavailableError(StoreError):
    """No connection, or no answer in time; a change may or may not have been made."""


class SessionLostError(StoreError):
    """The session has expired: its ephemerals are gone, and nothing it sends will be done."""


class WriteConflictError(StoreError):
    """A version check failed: somebody else wrote first. Read again."""


class NodeMissingError(StoreError):
    """The znode (or its parent) does not exist."""


class NodeExistsError(StoreError):
    """The znode exists already."""


class AccessDeniedError(StoreError):
    """The identity in use may not do this; a configuration fault, never retried."""


class UnreadableNodeError(HamonError):
    """A znode holds a newer schema or rubbish; it is never guessed at (S21).

    Args:
        path: the znode.
        why: what could not be read.
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why


class FenceError(PortError):
    """A fence device did not confirm what was asked of it. Never a proof of anything."""


class WatchdogError(PortError):
    """A watchdog device did not do what was asked; it may be armed all the same."""


class HypervisorError(PortError):
    """libvirt did not do what was asked."""


class HypervisorUnreachableError(HypervisorError):
    """libvirt cannot be reached or did not answer in time."""


class GuestNotFoundError(HypervisorError):
    """libvirt does not know the guest."""


class CloudError(PortError):
    """Nova did not do what was asked."""


class CloudUnavailableError(CloudError):
    """Nova or keystone did not answer, is unwell, or does not let hamon in.

    A change may be done, if ``outcome`` does not say otherwise.
    """


class CloudRefusedError(CloudError):
    """Nova understood and refused; nothing was done. ``why`` is Nova's message."""


class CloudConflictError(CloudRefusedError):
    """Nova refused because of the state something is in (409). Look again."""


class CloudMissingError(CloudRefusedError):
    """Nova does not know the server or the service (404)."""
