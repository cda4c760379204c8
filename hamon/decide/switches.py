"""Switches for the whole cluster: armed or not, and which hosts are in maintenance. Pure."""

from __future__ import annotations

from dataclasses import replace

from hamon.decide.answering import RefusedError, accepted, answer, known_host
from hamon.decide.thought import Thought
from hamon.model.change import CONTROL, Change, Update, Versioned
from hamon.model.control import Control, Maintenance, Request, RequestKind
from hamon.model.names import HostName
from hamon.model.reason import reason
from hamon.model.view import ClusterView

UNREADABLE = "/control"
"""As the view names the switches' znode when it holds a newer schema or rubbish."""


def switch(view: ClusterView, sequence: str, request: Versioned[Request]) -> Change:
    """Carry out a request that changes the switches.

    Raises:
        RefusedError: it makes no sense, or nobody knows how the switches stand.
    """
    if UNREADABLE in view.unreadable:
        msg = f"znode {UNREADABLE} cannot be read: everything is held, and nothing is overwritten"
        raise RefusedError(msg, "upgrade this controller, or mend the znode")
    value = request.value
    control = view.control.value
    match value.kind:
        case RequestKind.DISARM | RequestKind.ARM:
            is_armed = value.kind is RequestKind.ARM
            changed = replace(
                control, is_armed=is_armed, reason=value.reason, who=value.who, since=view.wall
            )
            said = "armed" if is_armed else "disarmed: nothing new is started"
        case RequestKind.MAINTENANCE_ON:
            host = known_host(view, value.host)
            changed = _maintained(view, control, host.name, value)
            said = f"host {host.name} is in maintenance"
        case _:
            name = value.host
            if name is None or name not in control.maintenance:
                msg = f"host {name} is not in maintenance"
                raise RefusedError(msg)
            rest = {host: entry for host, entry in control.maintenance.items() if host != name}
            changed = replace(control, maintenance=rest)
            said = f"host {name} is no longer in maintenance"
    return Change(
        subject=sequence,
        reason=reason("request_accepted", sequence, kind=value.kind, who=value.who),
        operations=(
            Update(key=CONTROL, version=view.control.version, value=changed),
            answer(sequence, request, accepted(value, said)),
        ),
    )


def _maintained(view: ClusterView, control: Control, host: HostName, request: Request) -> Control:
    entry = Maintenance(
        reason=request.reason, who=request.who, since=view.wall, until=request.until
    )
    return replace(control, maintenance={**control.maintenance, host: entry})


def end_of_maintenance(view: ClusterView) -> Thought:
    """Lift maintenance whose end has come.

    The end is a wall-clock time because an operator said it; that a host is looked after again a
    little early or late decides nothing by itself (S20).
    """
    control = view.control.value
    over = [
        host
        for host, entry in sorted(control.maintenance.items())
        if entry.until and entry.until <= view.wall
    ]
    if not over:
        return Thought()
    rest = {host: entry for host, entry in control.maintenance.items() if host not in over}
    return Thought(
        changes=(
            Change(
                subject=over[0],
                reason=reason("maintenance_ended", over[0], hosts=",".join(over)),
                operations=(
                    Update(
                        key=CONTROL,
                        version=view.control.version,
                        value=replace(control, maintenance=rest),
                    ),
                ),
            ),
        )
    )
