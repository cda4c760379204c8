"""Verdict: what it takes to suspect a host, and what it takes to convict it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hamon.detector.verdict import Call, is_silent, judge, shows_life
from hamon.detector.views import heard_by_another
from hamon.model.host import HostChecks, Leaving
from hamon.model.names import ControllerId
from hamon.model.policy import DetectionPolicy, HostPolicy, LeavingPolicy
from hamon.model.proof import Evidence, Power, PowerReading, Source, Vote
from hamon.model.view import ClusterView, ControllerView, HostView
from tests.builders import (
    BOOT,
    HOST,
    ME,
    NEXT_BOOT,
    NOW_S,
    OTHER,
    PLANES,
    SPARE,
    a_host,
    a_lost_host,
    a_reading,
    a_report,
    a_view,
    a_vote,
    off_twice,
    silence,
)

POLICY = DetectionPolicy()


def call(
    host: HostView,
    *controllers: ControllerView,
    policy: DetectionPolicy = POLICY,
    spare: HostView | None = None,
) -> tuple[Call, str]:
    """What is called of a host, and why."""
    view = a_view(host, spare or a_host(SPARE), controllers=controllers)
    verdict = judge(view, host, policy, NOW_S)
    return verdict.call, verdict.reason.code


def unheard(**others: object) -> HostView:
    """A host without session and without power readings, silent on every plane."""
    return a_lost_host(readings=(), **others)  # type: ignore[arg-type]


def an_early_host(**others: object) -> HostView:
    """A host with a session that is silent, and whose power reads Off twice."""
    return a_host(**{"evidence": silence(), "readings": off_twice(), **others})  # type: ignore[arg-type]


ECHO = a_vote(Vote.ALIVE_STRONG, "storage", boot_id=BOOT)
BEAT = a_vote(Vote.ALIVE_STRONG, "nfs", source=Source.STORAGE, boot_id=BOOT)
NOTICE = a_vote(Vote.DEAD, "192.0.2.1", source=Source.KDUMP, age_s=40.0)


# -- with a session -------------------------------------------------------------------------------


def test_judge__session_there_and_heard__is_well() -> None:
    """A registered heartbeat that is not late is well."""
    assert (Call.WELL, "heartbeat_present") == call(a_host())


def test_judge__session_there_but_silent__is_late() -> None:
    """A session that has not expired yet is no life by itself: silence starts the power look."""
    assert (Call.LATE, "heartbeat_late") == call(a_host(evidence=silence()))


@pytest.mark.fault("F20")
def test_judge__session_there_but_silent_and_off_twice__is_dead() -> None:
    """Nobody has to wait for the end of the session of a host that is Off and heard by nobody."""
    host = a_host(evidence=silence(), readings=off_twice())

    assert (Call.DEAD, "power_off_and_late") == call(host)


@pytest.mark.parametrize(
    ("case", "others"),
    [
        ("not silent on every plane", {"evidence": (a_vote(Vote.SILENT), ECHO)}),
        ("off read before the silence", {"readings": off_twice(newest_age_s=61.0)}),
        ("off of another machine", {"readings": off_twice(SPARE)}),
        ("off read once", {"readings": off_twice()[1:]}),
        ("just registered", {"registered_s": NOW_S - 1.0}),
        ("writes to shared storage", {"evidence": (*silence(), BEAT)}),
    ],
)
def test_judge__session_there_and_not_all_conditions__is_not_dead(
    case: str, others: dict[str, object]
) -> None:
    """An early conviction needs every one of its conditions."""
    assert Call.DEAD is not call(an_early_host(**others))[0], case


def test_judge__session_there_off_twice_but_another_hears_it__is_only_late() -> None:
    """A controller that hears the host is a source that says ALIVE."""
    reports = a_report(ME), a_report(OTHER, heard=[HOST])

    assert (Call.LATE, "heartbeat_late") == call(an_early_host(), *reports)


def test_judge__session_there_and_no_vote__is_well() -> None:
    """Probes that were not made say nothing (S3)."""
    assert (Call.WELL, "heartbeat_present") == call(a_host(evidence=()))


# -- power and silence ----------------------------------------------------------------------------


def test_judge__session_gone_silent_and_off_twice__is_dead() -> None:
    """Power Off twice, no session and no probe that hears anything: that is death."""
    assert (Call.DEAD, "power_off_and_silent") == call(a_lost_host(), a_report(ME), a_report(OTHER))


def test_judge__convicting__writes_down_what_carried_it() -> None:
    """The incident shows every vote that was counted."""
    host = a_lost_host()

    lines = judge(a_view(host), host, POLICY, NOW_S).evidence

    assert lines[0] == "session lost 60.00 s ago"
    assert sum("connect on" in line for line in lines) == len(PLANES)
    assert sum("power by bmc: off" in line for line in lines) == 2


@pytest.mark.parametrize(
    ("case", "readings"),
    [
        ("none", ()),
        ("one", (a_reading(Power.OFF, age_s=1),)),
        ("unknown", (a_reading(Power.UNKNOWN, age_s=3), a_reading(Power.UNKNOWN, age_s=1))),
        ("on", (a_reading(Power.ON, age_s=1),)),
        ("of another machine", off_twice(SPARE)),
    ],
)
def test_judge__power_not_read_off_twice__is_only_lost(
    case: str, readings: tuple[PowerReading, ...]
) -> None:
    """What is missing, failed or about another machine never convicts (S3, S12)."""
    host = a_lost_host(readings=readings)

    assert Call.LOST is call(host, a_report(ME), a_report(OTHER))[0], case


def test_judge__off_read_before_the_silence__does_not_count() -> None:
    """A sign of life after an Off voids it: the host was switched on again since."""
    host = a_lost_host(evidence=silence(for_s=2.5), readings=off_twice(newest_age_s=10.0))

    assert (Call.LOST, "own_plane_suspect") == call(host, a_report(ME, reaches=()))


def test_judge__off_read_before_the_last_plane_fell_silent__does_not_count() -> None:
    """The latest sign of life on any plane is what an Off must come after."""
    votes = (
        a_vote(Vote.SILENT, "management", for_s=60.0),
        a_vote(Vote.SILENT, "storage", for_s=2.5),
    )
    host = a_lost_host(evidence=votes, readings=off_twice(newest_age_s=10.0))

    assert (Call.LOST, "own_plane_suspect") == call(host, a_report(ME, reaches=()))


# -- signs of life --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vote", "code"),
    [
        (a_vote(Vote.ALIVE_STRONG, boot_id=BOOT), "alive_by_echo"),
        (a_vote(Vote.ALIVE_WEAK, for_s=5.0), "alive_by_kernel"),
    ],
)
def test_judge__any_sign_of_life__is_only_lost(vote: Evidence, code: str) -> None:
    """One plane that answers holds the conviction back, whatever power says."""
    quiet = a_vote(Vote.SILENT, "storage")

    assert (Call.LOST, code) == call(a_lost_host(evidence=(quiet, vote)))


def test_judge__old_sign_of_life__counts_no_more() -> None:
    """A vote older than ``fresh_s`` is no vote at all: neither for life nor for death."""
    stale = a_vote(Vote.ALIVE_STRONG, boot_id=BOOT, age_s=POLICY.fresh_s + 0.1)

    assert Call.DEAD is call(a_lost_host(evidence=(stale, a_vote(Vote.SILENT, "storage"))))[0]
    assert (Call.LOST, "probes_undecided") == call(a_lost_host(evidence=(stale,)))


def test_judge__no_fresh_vote__is_undecided() -> None:
    """A leader that probed nothing convicts nobody, even when power reads Off (S10)."""
    assert (Call.LOST, "probes_undecided") == call(a_lost_host(evidence=()))
    assert (Call.LOST, "probes_undecided") == call(
        a_lost_host(evidence=silence(age_s=POLICY.fresh_s + 0.1))
    )


def test_judge__silence_too_short__is_undecided() -> None:
    """One missed answer is a hiccup: silence must last for ``late_after_s``."""
    short = POLICY.late_after_s - 0.1

    assert (Call.LOST, "probes_undecided") == call(a_lost_host(evidence=silence(for_s=short)))


def test_judge__storage_votes_among_probes__are_not_counted_as_probes() -> None:
    """Silence is what planes say; a mount that says nothing is not a plane."""
    storage = a_vote(Vote.SILENT, "nfs", source=Source.STORAGE)

    assert (Call.LOST, "probes_undecided") == call(a_lost_host(evidence=(storage,)))


VOTES = st.builds(
    a_vote,
    st.sampled_from(list(Vote)),
    st.sampled_from(PLANES),
    age_s=st.floats(0, 6),
    for_s=st.floats(0, 90),
    boot_id=st.just(BOOT),
    source=st.sampled_from(list(Source)),
)
READINGS = st.builds(
    a_reading,
    st.sampled_from(list(Power)),
    age_s=st.floats(0, 40),
    host=st.sampled_from([HOST, SPARE]),
)
REPORTS = st.lists(
    st.builds(
        a_report,
        st.sampled_from([ME, OTHER]),
        silent=st.sampled_from([(), (HOST,)]),
        heard=st.sampled_from([(), (HOST,)]),
        kernel=st.sampled_from([(), (HOST,)]),
        reaches=st.sampled_from([(), PLANES[:1], PLANES]),
    ),
    max_size=2,
)


@given(st.lists(VOTES, max_size=4), st.lists(READINGS, max_size=6), REPORTS, st.booleans())
def test_judge__whatever_the_evidence__never_dead_while_anything_is_alive(
    votes: list[Evidence],
    readings: list[PowerReading],
    reports: list[ControllerView],
    is_here: bool,  # noqa: FBT001 - given by Hypothesis
) -> None:
    """DEAD needs: no session, silence and only silence that is fresh, and a second witness."""
    by_age = sorted(readings, key=lambda reading: reading.observed_s)
    host = a_host(is_here=is_here, evidence=tuple(votes), readings=tuple(by_age))
    view = a_view(host, a_host(SPARE), controllers=reports)

    verdict = judge(view, host, POLICY, NOW_S)

    if verdict.call is Call.DEAD:
        assert heard_by_another(view, host, but_a_kernel=True) is None
        probes = [
            vote
            for vote in votes
            if vote.source in {Source.ECHO, Source.CONNECT}
            and NOW_S - vote.observed_s <= POLICY.fresh_s
        ]
        others = replace(host, heartbeat=None, session_lost_s=host.session_lost_s or NOW_S)
        life = shows_life(view, others, POLICY, NOW_S)
        if verdict.reason.code == "crash_notice":
            assert life is None or life.code == "alive_by_kernel"
            assert any(vote.source is Source.KDUMP for vote in votes)
            return
        assert life is None
        assert {Vote.SILENT} == {vote.vote for vote in probes}
        if verdict.reason.code in {"power_off_and_silent", "power_off_and_late"}:
            offs = [r for r in by_age if r.power is Power.OFF and NOW_S - r.observed_s <= 30]
            assert len(offs) >= 2
            assert is_here == (verdict.reason.code == "power_off_and_late")
        else:
            assert verdict.reason.code == "silent_on_every_plane"
            assert set(PLANES) == {vote.subject for vote in probes}
            assert not is_here


# -- silence on the network alone -----------------------------------------------------------------

AGREES = a_report(OTHER, silent=[HOST])


def test_judge__two_controllers_hear_nothing__is_dead() -> None:
    """Silence on every plane, seen by two controllers that hear others there, convicts."""
    assert (Call.DEAD, "silent_on_every_plane") == call(unheard(), a_report(ME), AGREES)


def test_judge__the_only_controller_hears_nothing__is_dead() -> None:
    """Where there is only one controller its word has to do."""
    assert (Call.DEAD, "silent_on_every_plane") == call(unheard(), a_report(ME))


@pytest.mark.parametrize(
    ("case", "reports", "code"),
    [
        ("I hear nobody on a plane", (a_report(ME, reaches=PLANES[:1]), AGREES),
         "own_plane_suspect"),
        ("I have not reported yet", (AGREES,), "own_plane_suspect"),
        ("the other hears the host", (a_report(ME), a_report(OTHER, heard=[HOST])),
         "heard_by_another"),
        ("the other knows nothing yet", (a_report(ME), a_report(OTHER)),
         "too_few_views"),
        ("the other hears nobody on a plane",
         (a_report(ME), a_report(OTHER, silent=[HOST], reaches=PLANES[:1])),
         "too_few_views"),
        ("the other is sure of one plane only",
         (a_report(ME), replace(AGREES, silent={"management": (HOST,)})),
         "too_few_views"),
    ],
)  # fmt: skip
def test_judge__a_controller_may_be_the_sick_one__is_only_lost(
    case: str, reports: tuple[ControllerView, ...], code: str
) -> None:
    """The network convicts only by controllers that each still hear other hosts on every plane."""
    assert (Call.LOST, code) == call(unheard(), *reports), case


def test_judge__a_plane_was_not_probed__is_only_lost() -> None:
    """A plane nobody asked may be the one on which the host lives."""
    host = unheard(evidence=(a_vote(Vote.SILENT, "management"),))

    assert (Call.LOST, "plane_not_heard") == call(host, a_report(ME), AGREES)


def test_judge__three_controllers_two_agree__is_dead_whatever_the_third_cannot_see() -> None:
    """As many as must agree do; one that sees nothing does not hinder them."""
    blind = a_report(ControllerId("controller-3"), reaches=())

    assert Call.DEAD is call(unheard(), a_report(ME), AGREES, blind)[0]


def test_judge__three_controllers_one_hears_the_host__is_only_lost() -> None:
    """A third controller that hears the host is a source that says ALIVE."""
    third = a_report(ControllerId("controller-3"), heard=[HOST])

    assert (Call.LOST, "heard_by_another") == call(unheard(), a_report(ME), AGREES, third)


def test_judge__three_must_agree_and_two_do__is_only_lost() -> None:
    """How many must agree is policy."""
    policy = replace(POLICY, controllers_agree=3)
    third = a_report(ControllerId("controller-3"))

    assert (Call.LOST, "too_few_views") == call(
        unheard(), a_report(ME), AGREES, third, policy=policy
    )


def one_lost_knock() -> tuple[Evidence, ...]:
    """A plane that has been dead for long, and a single knock without answer on the other."""
    return (
        a_vote(Vote.SILENT, "management", age_s=0.2),
        a_vote(Vote.SILENT, "storage", age_s=0.1, for_s=0.6),
    )


@pytest.mark.parametrize("reports", [(a_report(ME),), (a_report(ME), AGREES)])
def test_judge__one_knock_lost_on_the_last_living_plane__is_only_lost(
    reports: tuple[ControllerView, ...],
) -> None:
    """Silence is evidence only where it has lasted: an echo was heard a moment ago."""
    host = unheard(evidence=one_lost_knock())

    assert (Call.LOST, "plane_not_heard") == call(host, *reports)


def test_judge__last_living_plane_silent_for_long_enough__is_dead() -> None:
    """Several knocks without answer on every plane are evidence, however old the rest is."""
    for_s = POLICY.late_after_s + 0.1
    votes = a_vote(Vote.SILENT), a_vote(Vote.SILENT, "storage", age_s=0.1, for_s=for_s)

    assert (Call.DEAD, "silent_on_every_plane") == call(unheard(evidence=votes), a_report(ME))


# -- shared storage -------------------------------------------------------------------------------


def test_judge__silent_but_writes_to_storage__is_partitioned_whatever_power_says() -> None:
    """A heartbeat on shared storage that moves is life, and only the network is gone."""
    host = a_lost_host(evidence=(*silence(), BEAT))

    assert (Call.PARTITIONED, "alive_on_storage") == call(host, a_report(ME), AGREES)


@pytest.mark.parametrize("votes", [one_lost_knock(), one_lost_knock()[:1]])
def test_judge__writes_to_storage_and_not_late_on_every_plane__is_only_lost(
    votes: tuple[Evidence, ...],
) -> None:
    """Policy may fence who is cut off: one lost knock, or an unasked plane, shows nothing."""
    host = a_lost_host(evidence=(*votes, BEAT))

    assert (Call.LOST, "alive_on_storage") == call(host, a_report(ME), AGREES)


def test_judge__writes_to_storage_and_another_hears_it__is_only_lost() -> None:
    """It is cut off from this controller only: nothing is given up for that."""
    host = a_lost_host(evidence=(*silence(), BEAT))

    assert (Call.LOST, "heard_by_another") == call(
        host, a_report(ME), a_report(OTHER, kernel=[HOST])
    )


def test_judge__kernel_answers_and_writes_to_storage__is_lost_not_hung() -> None:
    """Its agent is gone, but its userland works."""
    weak = tuple(a_vote(Vote.ALIVE_WEAK, plane) for plane in PLANES)

    assert (Call.LOST, "alive_on_storage") == call(a_lost_host(evidence=(*weak, BEAT)))


def test_judge__storage_stands_still__is_no_life() -> None:
    """A mount on which nothing moves hinders nothing, and convicts nobody by itself."""
    still = a_vote(Vote.SILENT, "nfs", source=Source.STORAGE)

    assert Call.DEAD is call(a_lost_host(evidence=(*silence(), still)))[0]
    assert (
        Call.LOST is call(unheard(evidence=(*silence(), still)), a_report(ME), a_report(OTHER))[0]
    )


# -- a kernel that answers ------------------------------------------------------------------------


def test_judge__only_the_kernel_answers_for_long__is_hung() -> None:
    """What runs above the kernel has not answered for ``hung_after_s``."""
    weak = tuple(a_vote(Vote.ALIVE_WEAK, plane) for plane in PLANES)

    assert (Call.HUNG, "kernel_answers_only") == call(unheard(evidence=weak))


def test_judge__only_the_kernel_answers_for_a_while__is_only_lost() -> None:
    """The time counts from when only the kernel answered, and from the loss of the session."""
    young = POLICY.hung_after_s - 1.0
    weak = tuple(a_vote(Vote.ALIVE_WEAK, plane, for_s=young) for plane in PLANES)

    assert (Call.LOST, "alive_by_kernel") == call(unheard(evidence=weak))


# -- crash notices --------------------------------------------------------------------------------


@pytest.mark.parametrize("vote", [Vote.SILENT, Vote.ALIVE_WEAK])
def test_judge__crash_notice_and_nothing_but_a_kernel__is_dead(vote: Vote) -> None:
    """A crash kernel tells that the kernel before it is over, and may answer itself."""
    votes = tuple(a_vote(vote, plane) for plane in PLANES)

    assert (Call.DEAD, "crash_notice") == call(unheard(evidence=(*votes, NOTICE)))


@pytest.mark.parametrize(
    ("case", "other", "notice", "expected"),
    [
        ("a kernel, crashed", a_report(OTHER, kernel=[HOST]), (NOTICE,), "crash_notice"),
        ("a kernel, hanging", a_report(OTHER, kernel=[HOST]), (), "kernel_answers_only"),
        ("more, crashed", a_report(OTHER, heard=[HOST]), (NOTICE,), "heard_by_another"),
        ("more, hanging", a_report(OTHER, heard=[HOST]), (), "heard_by_another"),
    ],
)
def test_judge__kernel_answers_and_another_controller_hears__more_than_a_kernel_is_life(
    case: str, other: ControllerView, notice: tuple[Evidence, ...], expected: str
) -> None:
    """Another controller may hear the echo that this one does not; a crash kernel answers all."""
    weak = tuple(a_vote(Vote.ALIVE_WEAK, plane) for plane in PLANES)
    host = unheard(evidence=(*weak, *notice))

    assert expected == call(host, a_report(ME), other)[1], case


def test_judge__kernel_answers_and_an_older_controller_hears_the_host__is_only_lost() -> None:
    """One that does not tell kernels apart may hear more than a kernel."""
    weak = tuple(a_vote(Vote.ALIVE_WEAK, plane) for plane in PLANES)
    older = replace(a_report(OTHER), heard={"storage": (HOST,)})

    assert (Call.LOST, "heard_by_another") == call(unheard(evidence=weak), a_report(ME), older)


@pytest.mark.parametrize(
    ("case", "votes"),
    [
        ("of a former crash", (*silence(), replace(NOTICE, observed_s=NOW_S - 67.0))),
        ("the host answers", (*silence(), ECHO, NOTICE)),
        ("it writes to storage", (*silence(), BEAT, NOTICE)),
    ],
)
def test_judge__crash_notice_that_may_be_wrong__convicts_nobody(
    case: str, votes: tuple[Evidence, ...]
) -> None:
    """Anybody can send such a datagram; life counts for more."""
    host = unheard(evidence=votes)

    assert Call.DEAD is not call(host, a_report(ME), a_report(OTHER))[0], case


def test_judge__crash_notice_while_the_session_lives__changes_nothing() -> None:
    """It is believed only of hosts that are missed."""
    assert Call.WELL is call(a_host(evidence=(*a_host().evidence, NOTICE)))[0]


# -- its own checks -------------------------------------------------------------------------------


def test_judge__its_own_checks_fail__is_degraded() -> None:
    """A host that lives and whose guests have no storage is neither well nor dead."""
    checks = HostChecks(boot_id=BOOT, failed={"storage:nfs": "not written for 9 s"})

    assert (Call.DEGRADED, "checks_failed") == call(a_host(checks=checks))


def test_judge__checks_of_a_former_boot__say_nothing() -> None:
    """What was wrong before the reboot may be well now."""
    checks = HostChecks(boot_id=NEXT_BOOT, failed={"storage:nfs": "not written for 9 s"})

    assert Call.WELL is call(a_host(checks=checks))[0]


# -- choices of a host ----------------------------------------------------------------------------


def test_judge__host_with_a_choice_of_its_own__is_judged_by_it() -> None:
    """A group of hosts may be treated unlike the others."""
    host = a_lost_host(leaving=Leaving.SHUTDOWN)
    own = replace(host.spec, policy=HostPolicy(leaving=LeavingPolicy.EVACUATE))

    assert Call.LEFT is call(host)[0]
    assert Call.DEAD is call(replace(host, spec=own))[0]


# -- leaving --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (LeavingPolicy.WAIT, Call.LEFT),
        (LeavingPolicy.LEAVE, Call.LEFT),
        (LeavingPolicy.EVACUATE, Call.DEAD),
    ],
)
def test_judge__announced_its_leave__policy_says_what_it_is(
    policy: LeavingPolicy, expected: Call
) -> None:
    """A host that said goodbye has left; only the policy makes it a dead one."""
    host = a_lost_host(leaving=Leaving.SHUTDOWN)

    assert expected is call(host, policy=replace(POLICY, leaving=policy))[0]


def test_judge__announced_its_leave_but_is_here__is_well() -> None:
    """An announcement alone changes nothing about a host that is here."""
    assert Call.WELL is call(a_host(leaving=Leaving.REBOOT))[0]


# -- what others use of it ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "code"),
    [
        (a_host(evidence=()), "alive_by_session"),
        (a_host(is_here=False, evidence=(a_vote(Vote.ALIVE_WEAK),)), "alive_by_kernel"),
        (
            a_host(is_here=False, evidence=(a_vote(Vote.ALIVE_STRONG, boot_id=BOOT),)),
            "alive_by_echo",
        ),
        (a_host(is_here=False, evidence=(BEAT,)), "alive_on_storage"),
        (a_host(is_here=False, evidence=(a_vote(Vote.ALIVE_WEAK, age_s=9.0),)), None),
        (a_lost_host(), None),
    ],
)
def test_shows_life__by_table__names_the_source(host: HostView, code: str | None) -> None:
    """An operator who wants a host gone is told which source sees it alive."""
    life = shows_life(a_view(host), host, POLICY, NOW_S)

    assert code == (life.code if life is not None else None)


def test_is_silent__no_votes__is_not_silence() -> None:
    """Nothing heard because nobody listened is not silence."""
    assert not is_silent((), POLICY)


def test_judge__host_without_devices_and_planes__is_only_lost() -> None:
    """Without any way to look there is nothing to convict by."""
    host = unheard(fence=())
    bare = replace(host, spec=replace(host.spec, planes=()), evidence=())
    view: ClusterView = a_view(bare, controllers=[a_report(ME)])

    assert Call.LOST is judge(view, bare, POLICY, NOW_S).call
