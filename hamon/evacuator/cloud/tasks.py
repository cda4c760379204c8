"""What Nova believes is under way with a guest, and nobody works at. Pure.

Up to Victoria Nova does not evacuate a guest with a task (bug 1978983); no Nova reboots one that it
believes is being rebuilt, or lets its owner do anything with it.
"""

from __future__ import annotations

from hamon.evacuator.cloud.places import host_of, lists_running
from hamon.evacuator.moves import Moves
from hamon.model.action import CloudLook, CloudLookKind, ResetTask
from hamon.model.change import CONTROL, Change, Check, Intent, guard_of
from hamon.model.cloud import CallState, CloudCall, CloudView, Server
from hamon.model.names import GuestId
from hamon.model.reason import reason
from hamon.model.view import ClusterView, HostView

RESET_AGAIN_S = 60.0
"""A reset that had no effect is asked for again after this long."""

PROGRESS_PERIOD_S = 10.0
"""How far Nova is with a guest is asked for no more often than this: two calls for each."""


def forget_task(view: ClusterView, host: HostView, server: Server, *, is_error: bool) -> Intent:
    """Have Nova forget a guest's task. Idempotent, so nothing is written down for it.

    Args:
        view: the world.
        host: to which Nova gives the guest; what was under way there is over.
        server: the guest, with a task.
        is_error: it is in ERROR afterwards, else active.
    """
    change = Change(
        subject=server.guest,
        reason=reason("task_reset", server.guest, name=server.name, task=server.task_state),
        operations=(
            Check(key=CONTROL, version=view.control.version),
            Check(key=guard_of(host.name), version=host.guard.version),
        ),
    )
    action = ResetTask(guest=server.guest, is_error=is_error)
    return Intent(change=change, action=action)


def forget_rebuild(view: ClusterView, cloud: CloudView, server: Server, now_s: float) -> Moves:
    """Have Nova forget a rebuild that is over, of a guest that runs where Nova says.

    Two orders to rebuild a guest may come to computes: a dead one's queue kept the first, or a
    conductor waited for longer than hamon did. One is carried out. The other fails on the guest's
    task, which it then writes into Nova's row all the same, and nothing ever ends it.

    Args:
        view: the world.
        cloud: Nova as last read.
        server: the guest.
        now_s: monotonic seconds.
    """
    guest, home = server.guest, host_of(view, server.host)
    if home is None or not server.task_state.startswith("rebuild"):
        return Moves()
    if not lists_running(home, guest) or not may_reset(cloud, guest, now_s):
        return Moves()
    progress_s = cloud.progress_s.get(guest)
    if progress_s is None or progress_s < now_s - PROGRESS_PERIOD_S:
        return Moves(looks=(CloudLook(kind=CloudLookKind.PROGRESS, guest=guest),))
    if cloud.changed_s is None or cloud.changed_s < progress_s:
        # It may have ended between the two answers.
        return Moves(looks=(CloudLook(kind=CloudLookKind.SERVERS_CHANGED),))
    progress = cloud.progress[guest]
    if not progress.is_over or not progress.is_newest:
        return Moves()
    # safety: only what Nova believes is changed. The guest runs there by the word of that host's
    # agent; the last that anybody asked Nova to do with it is the evacuation, and the compute that
    # took it is through. A later order finds no task of its own, and fails again.
    return Moves(intents=(forget_task(view, home, server, is_error=False),))


def last_reset(cloud: CloudView, guest: GuestId) -> CloudCall | None:
    """Return the last request that Nova forget the guest's task; None: this leader made none."""
    return cloud.calls.get(ResetTask(guest=guest, is_error=False).subject)


def may_reset(cloud: CloudView, guest: GuestId, now_s: float) -> bool:
    """Say whether Nova may be asked (again) to forget the guest's task."""
    reset = last_reset(cloud, guest)
    if reset is None:
        return True
    return reset.state is not CallState.RUNNING and now_s >= reset.at_s + RESET_AGAIN_S


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
