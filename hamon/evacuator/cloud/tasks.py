"""What Nova believes is under way with a guest, and nobody works at. Pure.

Up to Victoria Nova does not evacuate a guest with a task (bug 1978983); no Nova reboots one that it
believes is being rebuilt.
"""

from __future__ import annotations

from hamon.model.action import ResetTask
from hamon.model.change import CONTROL, Change, Check, Intent, guard_of
from hamon.model.cloud import CallState, CloudCall, CloudView, Server
from hamon.model.names import GuestId
from hamon.model.reason import reason
from hamon.model.view import ClusterView, HostView


def forget_task(view: ClusterView, host: HostView, server: Server) -> Intent:
    """Have Nova forget a guest's task. Idempotent, so nothing is written down for it.

    Args:
        view: the world.
        host: to which Nova gives the guest; what was under way there is over.
        server: the guest, with a task.
    """
    change = Change(
        subject=server.guest,
        reason=reason("task_reset", server.guest, name=server.name, task=server.task_state),
        operations=(
            Check(key=CONTROL, version=view.control.version),
            Check(key=guard_of(host.name), version=host.guard.version),
        ),
    )
    action = ResetTask(guest=server.guest, is_error=server.vm_state == "error")
    return Intent(change=change, action=action)


def last_reset(cloud: CloudView, guest: GuestId) -> CloudCall | None:
    """Return the last request that Nova forget the guest's task; None: this leader made none."""
    return cloud.calls.get(ResetTask(guest=guest, is_error=False).subject)


def is_being_reset(cloud: CloudView, guest: GuestId) -> bool:
    """Say whether Nova has been asked to forget the guest's task, and has not answered yet."""
    call = last_reset(cloud, guest)
    return call is not None and call.state is CallState.RUNNING


def is_refused_for_its_task(cloud: CloudView, server: Server, attempts: int) -> bool:
    """Say whether an older Nova refused the last attempt, and no reset was asked for since.

    safety: then its host is proven dead and shut out, so nothing of that task goes on, and no
    evacuation of the guest is open, or it would have been adopted.
    """
    call, reset = cloud.calls.get(server.guest), last_reset(cloud, server.guest)
    return (
        bool(server.task_state)
        and call is not None
        and call.state is CallState.REFUSED
        and call.is_conflict
        and call.attempt == attempts
        and (reset is None or reset.at_s < call.at_s)
    )
