"""``hamon fence off`` and ``on``: an operator's hand on the power button, through the same guards.

Pure. Rules:

1. Off opens the same incident as the detector, and the same ladder proves it; its guests then move.
   It may be asked of a host that lives, by name and in words only (``force``); that is written into
   the incident. Holds are passed as by ``evacuate-host``.
2. On is refused while a proof is made or needed: power that comes back voids it.
"""

from __future__ import annotations

from hamon.decide.admission import check_boot, check_known, is_shut_out, life_of, passed_holds
from hamon.decide.answering import RefusedError, accepted, answer, known_host
from hamon.decide.fencing import climb_again
from hamon.decide.live import convict
from hamon.decide.thought import Thought, unchanged
from hamon.detector.verdict import Call, Verdict
from hamon.model.action import PowerOn
from hamon.model.change import Change, Intent, Operation, Versioned
from hamon.model.control import Hold, HoldKind, Request
from hamon.model.host import HostState
from hamon.model.incident import Trigger
from hamon.model.names import incident_id
from hamon.model.policy import Policy
from hamon.model.reason import reason
from hamon.model.view import ClusterView, HostView

_NEEDS_PROOF = frozenset(
    {HostState.FENCING, HostState.FENCE_FAILED, HostState.FENCED, HostState.EVACUATING}
)


def fence_off(
    view: ClusterView,
    sequence: str,
    request: Versioned[Request],
    policy: Policy,
    in_force: tuple[Hold, ...],
    now_s: float,
) -> Change:
    """Convict a host on an operator's word, or climb its ladder once more.

    Raises:
        RefusedError: a hold that nobody passes, a sign of life without force, or nothing to do.
    """
    value = request.value
    host = known_host(view, value.host)
    check_known(host)
    if is_shut_out(view, host):
        return _climb_once_more(view, sequence, request, host)
    check_boot(value, host)
    life = life_of(view, host, policy.detection, now_s)
    if life and not value.force:
        raise RefusedError(
            f"host {host.name} is alive: {life}",
            "its guests would be cut off; --even-alive fences it all the same",
        )
    overridden = passed_holds(view, host, in_force)
    if life:
        overridden += (f"alive: {life}",)
    incident = incident_id(host.name, host.guard.version + 1)
    answered = accepted(value, f"incident {incident} opened", incident)
    verdict = Verdict(call=Call.DEAD, reason=reason("fenced_by_hand", host.name, who=value.who))
    return convict(
        view,
        host,
        verdict,
        trigger=Trigger.OPERATOR,
        request=value,
        overridden=overridden,
        also=(answer(sequence, request, answered),),
    )


def _climb_once_more(
    view: ClusterView, sequence: str, request: Versioned[Request], host: HostView
) -> Change:
    record = host.record.value
    incident = view.incidents.get(record.incident) if record and record.incident else None
    if record is None or incident is None:
        raise RefusedError("its incident has not been read yet", "repeat the command in a moment")
    if record.state is not HostState.FENCE_FAILED:
        raise RefusedError(f"host {host.name} is {record.state}: it is shut out already")
    opened = incident.record.value.incident
    said = accepted(request.value, f"incident {opened}: its ladder is climbed again", opened)
    change = climb_again(view, host, incident, "fencing_retried")
    return Change(
        subject=change.subject,
        reason=change.reason,
        operations=(*change.operations, answer(sequence, request, said)),
    )


def fence_on(
    view: ClusterView,
    sequence: str,
    request: Versioned[Request],
    policy: Policy,
    in_force: tuple[Hold, ...],
) -> Thought:
    """Order the devices of a host's lowest level of power to switch it on.

    Raises:
        RefusedError: disarmed, nothing to order, or a proof that power would void.
    """
    value = request.value
    host = known_host(view, value.host)
    for hold in in_force:
        if hold.kind in {HoldKind.DISARMED, HoldKind.SHADOW, HoldKind.UNREADABLE}:
            raise RefusedError(f"held by {hold.kind}: {hold.reason}")
    record = host.record.value
    if record is not None and record.state in _NEEDS_PROOF:
        raise RefusedError(
            f"host {host.name} is {record.state}: its guests are still to move, and power would"
            " void the proof that it is off",
            "wait until it is EVACUATED",
        )
    powers = [device for device in host.spec.fence if device.is_power]
    lowest = [device for device in powers if device.level == min(d.level for d in powers)]
    if not lowest:
        raise RefusedError(f"host {host.name} has no device that switches its power")
    names = ", ".join(device.name for device in lowest)
    said = accepted(value, f"host {host.name} is ordered to switch on by {names}")
    intents: list[Intent] = []
    for device in lowest:
        why = reason("powered_on_by_hand", host.name, device=device.name, who=value.who)
        change = unchanged(view, host, why)
        also: tuple[Operation, ...] = () if intents else (answer(sequence, request, said),)
        intents.append(
            Intent(
                change=Change(
                    subject=host.name, reason=why, operations=(*change.operations, *also)
                ),
                action=PowerOn(
                    host=host.name,
                    device=device.name,
                    deadline_s=policy.fencing.shot_deadline_s,
                ),
            )
        )
    return Thought(intents=tuple(intents))
