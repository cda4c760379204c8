"""Hosts that live in part: cut off, hanging, or ill by their own checks; and what policy makes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hamon.decide.holds import holds
from hamon.decide.live import think_live
from hamon.decide.thought import Thought
from hamon.model.host import HostChecks, HostRecord, HostState
from hamon.model.policy import (
    DegradedPolicy,
    DetectionPolicy,
    HungPolicy,
    PartitionedPolicy,
    Policy,
)
from hamon.model.proof import Evidence, Source, Vote
from hamon.model.view import HostView
from tests.builders import (
    BOOT,
    HOST,
    NEXT_BOOT,
    NOW_S,
    PLANES,
    SPARE,
    a_host,
    a_lost_host,
    a_view,
    a_vote,
    echoes,
    silence,
)
from tests.decisions import writes

BEAT = a_vote(Vote.ALIVE_STRONG, "nfs", source=Source.STORAGE, boot_id=BOOT)
KERNEL = tuple(a_vote(Vote.ALIVE_WEAK, plane) for plane in PLANES)
NO_STORAGE = HostChecks(boot_id=BOOT, failed={"storage:nfs": "not written for 9 s"})
NO_LIBVIRT = HostChecks(boot_id=BOOT, failed={"libvirt": "does not answer"})


def think(host: HostView, **world: Any) -> Thought:  # noqa: ANN401 - as the view takes it
    """What is thought of one live host beside a well one; keywords change the detection policy."""
    policy = Policy(detection=replace(DetectionPolicy(), **world.pop("detection", {})))
    view = a_view(host, a_host(SPARE), **world)
    return think_live(view, host, policy, holds(view, policy, NOW_S), NOW_S)


def entered(thought: Thought) -> HostState | None:
    """The state a host is brought into, None: it stays."""
    for value in writes(*thought.changes).values():
        if isinstance(value, HostRecord):
            return value.state
    return None


def reasons(thought: Thought) -> set[str]:
    """The codes of why."""
    return {reason.code for reason in thought.reasons}


def cut_off(state: HostState = HostState.PARTITIONED, *, for_s: float = 500.0) -> HostView:
    """A host that is silent on the network and writes to storage."""
    return a_lost_host(state=state, evidence=(*silence(), BEAT), state_since_s=NOW_S - for_s)


def hanging(state: HostState = HostState.HUNG) -> HostView:
    """A host of which only the kernel answers."""
    return a_lost_host(state=state, evidence=KERNEL, readings=())


@pytest.mark.parametrize("policy", list(PartitionedPolicy))
def test_partitioned__first__is_written_down_whatever_follows(policy: PartitionedPolicy) -> None:
    """It is seen as what it is before anything is done to it."""
    thought = think(cut_off(HostState.SUSPECT), detection={"partitioned": policy})

    assert HostState.PARTITIONED is entered(thought)


@pytest.mark.parametrize(
    ("policy", "for_s", "expected"),
    [
        (PartitionedPolicy.ALERT, 500.0, None),
        (PartitionedPolicy.WAIT, 119.0, None),
        (PartitionedPolicy.WAIT, 121.0, HostState.FENCING),
        (PartitionedPolicy.FENCE, 0.0, HostState.FENCING),
    ],
)
def test_partitioned__by_policy__is_told_waited_for_or_fenced(
    policy: PartitionedPolicy, for_s: float, expected: HostState | None
) -> None:
    """Its guests run: only an operator's policy gives such a host up."""
    thought = think(cut_off(for_s=for_s), detection={"partitioned": policy})

    assert expected is entered(thought)
    assert (expected is None) == ("host_partitioned" in reasons(thought))


def test_partitioned__fence_while_held__waits_for_the_hold() -> None:
    """Brakes hold a conviction by policy like any other."""
    thought = think(cut_off(), detection={"partitioned": PartitionedPolicy.FENCE}, is_armed=False)

    assert None is entered(thought)
    assert "conviction_held" in reasons(thought)


@pytest.mark.parametrize(
    ("policy", "expected"), [(HungPolicy.ALERT, None), (HungPolicy.FENCE, HostState.FENCING)]
)
def test_hung__by_policy__is_told_or_fenced(policy: HungPolicy, expected: HostState | None) -> None:
    """A dead agent on a healthy host looks the same: by default somebody is told."""
    thought = think(hanging(), detection={"hung": policy})

    assert HostState.HUNG is entered(think(hanging(HostState.SUSPECT), detection={"hung": policy}))
    assert expected is entered(thought)


@pytest.mark.parametrize(
    "state", [HostState.PARTITIONED, HostState.HUNG, HostState.SUSPECT, HostState.DEGRADED]
)
def test_any_of_them__is_heard_again__is_up(state: HostState) -> None:
    """Whatever it was, it is over when the host is well."""
    assert HostState.UP is entered(think(a_host(HOST, state)))


@pytest.mark.parametrize("state", [HostState.PARTITIONED, HostState.HUNG])
def test_any_of_them__now_only_lost__is_suspect(state: HostState) -> None:
    """What is no longer known to live is suspected like any other."""
    assert HostState.SUSPECT is entered(think(a_lost_host(state=state, readings=(), evidence=())))


@pytest.mark.parametrize("state", [HostState.PARTITIONED, HostState.HUNG])
def test_any_of_them__now_dead__is_convicted(state: HostState) -> None:
    """A host that hung and then lost its power is dead."""
    assert HostState.FENCING is entered(think(a_lost_host(state=state)))


@pytest.mark.parametrize(
    ("policy", "state", "for_s", "expected"),
    [
        (DegradedPolicy.ALERT, HostState.UP, 500.0, None),
        (DegradedPolicy.DISABLE, HostState.UP, 500.0, HostState.DEGRADED),
        (DegradedPolicy.DISABLE, HostState.DEGRADED, 500.0, None),
        (DegradedPolicy.FENCE, HostState.UP, 500.0, HostState.DEGRADED),
        (DegradedPolicy.FENCE, HostState.DEGRADED, 119.0, None),
        (DegradedPolicy.FENCE, HostState.DEGRADED, 121.0, HostState.FENCING),
    ],
)
def test_degraded__by_policy__is_told_spared_or_fenced(
    policy: DegradedPolicy, state: HostState, for_s: float, expected: HostState | None
) -> None:
    """A host without storage gets nothing new; it is fenced only where somebody chose that."""
    host = a_host(HOST, state, checks=NO_STORAGE, state_since_s=NOW_S - for_s)

    thought = think(host, detection={"degraded": policy})

    assert expected is entered(thought)
    assert expected is HostState.FENCING or "host_degraded" in reasons(thought)


def test_degraded__only_libvirt_fails__is_never_fenced() -> None:
    """Guests of a host whose libvirt hangs run on: nothing is gained by its end."""
    host = a_host(HOST, HostState.DEGRADED, checks=NO_LIBVIRT)

    assert None is entered(think(host, detection={"degraded": DegradedPolicy.FENCE}))


@pytest.mark.parametrize(
    ("case", "beat", "failed", "expected"),
    [
        ("it moves", BEAT, {}, None),
        ("another boot's moves", replace(BEAT, boot_id=NEXT_BOOT), {}, HostState.FENCING),
        ("another storage's moves", replace(BEAT, subject="rbd"), {}, HostState.FENCING),
        ("it moved a while ago", replace(BEAT, observed_s=NOW_S - 4.0), {}, HostState.FENCING),
        ("it stands still", replace(BEAT, vote=Vote.SILENT), {}, HostState.FENCING),
        ("a link is down, too", BEAT, {"link:bond0": "down"}, HostState.FENCING),
    ],
)
def test_degraded_fence__its_beat_on_the_storage_is_watched__is_fenced_unless_it_moves(
    case: str, beat: Evidence, failed: dict[str, str], expected: HostState | None
) -> None:
    """What a host is seen to write to a storage says more than its check of it."""
    checks = replace(NO_STORAGE, failed={**NO_STORAGE.failed, **failed})
    host = a_host(HOST, HostState.DEGRADED, checks=checks, evidence=(*echoes(), beat))

    thought = think(host, detection={"degraded": DegradedPolicy.FENCE})

    assert expected is entered(thought), case


def test_degraded__in_quarantine__stays_there() -> None:
    """A host that takes no guests anyway keeps the time it has to wait."""
    host = a_host(
        HOST, HostState.QUARANTINED, checks=NO_STORAGE, returns=3, state_since_s=NOW_S - 1.0
    )

    assert None is entered(think(host))
