"""What follows from the verdict on a host that something is missed of, by its policy. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from hamon.detector.verdict import Call, Verdict, judge
from hamon.model.host import HostState
from hamon.model.policy import HungPolicy, PartitionedPolicy, Policy
from hamon.model.reason import Reason, reason
from hamon.model.view import ClusterView, HostView


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """What follows from a verdict by the host's policy."""

    convicts: bool = False
    reasons: tuple[Reason, ...] = ()
    wake_at_s: float | None = None


def remedy_of(host: HostView, verdict: Verdict, policy: Policy, now_s: float) -> Remedy:
    """Say what follows: the dead are convicted, those that live in part by their policy only.

    One that lives in part is first written down as what it is, so that it is seen before it is
    shot, and the time of ``wait`` counts from there.
    """
    record = host.record.value
    assert record is not None, "a host that was judged has a record"
    detection = policy.detection.of(host.spec.policy)
    match verdict.call:
        case Call.DEAD:
            return Remedy(convicts=True)
        case Call.PARTITIONED if record.state is HostState.PARTITIONED:
            if detection.partitioned is PartitionedPolicy.ALERT:
                return Remedy(reasons=(reason("host_partitioned", host.name),))
            due_s = host.state_since_s
            if detection.partitioned is PartitionedPolicy.WAIT:
                due_s += detection.partitioned_wait_s
            if now_s >= due_s:
                return Remedy(convicts=True)
            why = reason("host_partitioned", host.name, fenced_in_s=due_s - now_s)
            return Remedy(reasons=(why,), wake_at_s=due_s)
        case Call.HUNG if record.state is HostState.HUNG:
            why = reason("host_hung", host.name)
            return Remedy(convicts=detection.hung is HungPolicy.FENCE, reasons=(why,))
        case _:
            return Remedy()


def would_be_convicted(view: ClusterView, host: HostView, policy: Policy, now_s: float) -> bool:
    """Say whether a host that is missed would be convicted now if nothing held that.

    Args:
        view: the world.
        host: registered at least once; it may live, or was lost once more while it returned.
        policy: the numbers and choices.
        now_s: monotonic seconds.
    """
    if host.record.value is None or host.self_.value is None or host.spec.agentless:
        return False
    verdict = judge(view, host, policy.detection, now_s)
    return remedy_of(host, verdict, policy, now_s).convicts
