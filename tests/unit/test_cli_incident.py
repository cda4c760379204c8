"""Explaining: what a person reads at night about a host in trouble and about an incident."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hamon.cli.failure import ExitCode
from hamon.cli.invocation import Invocation
from hamon.cli.main import cli
from hamon.cli.story import since
from hamon.decide.outlook import Next, outlook
from hamon.decide.tick import decide
from hamon.engine.answers import Answers
from hamon.engine.stories import EXPORT_SCHEMA
from hamon.fencing.watchdog import WATCHDOG
from hamon.model.chronicle import moment
from hamon.model.host import LIBVIRT_CHECK, HostChecks, HostState, WatchdogFacts
from hamon.model.incident import MigrationStatus
from hamon.model.names import IncidentId
from hamon.model.policy import (
    DegradedPolicy,
    DetectionPolicy,
    HostPolicy,
    HungPolicy,
    Policy,
    ReturnPolicy,
)
from hamon.model.policy_values import values_of
from hamon.model.proof import Power, Vote
from hamon.model.view import ClusterView, HostView
from tests.builders import (
    BOOT,
    HOST,
    INCIDENT,
    ME,
    NOW_S,
    OTHER,
    SPARE,
    WALL,
    a_device,
    a_host,
    a_lost_host,
    a_migration,
    a_power_word,
    a_reading,
    a_report,
    a_shot,
    a_view,
    a_vote,
    an_entry,
    an_incident,
    at,
    off_twice,
)
from tests.unit.answering_daemon import POLICY, AnsweringDaemon, round_over

CLOSED = IncidentId("host-2-9")
STORY = (
    moment("2026-01-01T00:00:00.000Z", "session_seen_gone", {}),
    moment("2026-01-01T00:00:02.500Z", "silent_on_every_plane", {"seconded_by": "controller-2"}),
    moment("2026-01-01T00:00:02.500Z", "host_convicted", {"incident": INCIDENT, "by": "silence"}),
    moment("2026-01-01T00:00:02.600Z", "fence_shot", {"device": "bmc", "attempt": "1"}),
    moment("2026-01-01T00:10:03.000Z", "fencing_held", {"by": "disarmed", "why": "w " * 110}),
    moment("2026-01-01T01:10:03.000Z", "host_fenced", {"method": "power", "detail": "off twice"}),
)


def run(path: Path, *words: object) -> Result:
    """Run one command line against the daemon at ``path``."""
    command = [str(word) for word in (*words, "--socket", path)]
    return CliRunner().invoke(cli, command, obj=Invocation(is_interactive=False))


def flat(result: Result) -> str:
    """What was printed, without the folding."""
    assert ExitCode.OK == result.exit_code, result.stderr
    return " ".join(result.stdout.split())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a control socket."""
    return tmp_path / "control.sock"


@pytest.fixture
def view() -> ClusterView:
    """Give a cluster with one open incident that a disarm holds, and one closed one."""
    waiting = a_migration(1, MigrationStatus.WAITING, reason="NoValidHost: host-2: RAM")
    moved = a_migration(
        2,
        MigrationStatus.DONE,
        dest_compute=SPARE,
        stamps={"scheduled": "2026-01-01T00:00:10.000Z", "done": "2026-01-01T00:00:14.500Z"},
    )
    open_one = an_incident(
        waiting,
        moved,
        reason="silent_on_every_plane",
        evidence=("session lost 2.50 s ago", "controller-1: connect on storage: silent"),
        overridden=("storm: many hosts",),
        shots=(a_shot(),),
        proof=a_power_word(),
        stamps={"convicted": "2026-01-01T00:00:02.500Z"},
        timeline=STORY,
        policy=values_of(Policy(), HostPolicy(hung=HungPolicy.FENCE)),
        policy_hash="abcdef0123456789",
    )
    closed = an_incident(
        host=SPARE,
        incident=CLOSED,
        closed=True,
        who="ada",
        stamps={"convicted": "2025-01-01T00:00:00.000Z", "returned": "2025-01-01T01:00:00.000Z"},
    )
    dead = a_lost_host(HOST, HostState.EVACUATING, entries=[an_entry(1), an_entry(2)])
    return a_view(dead, a_host(SPARE), incidents=[open_one, closed], is_armed=False)


# -- the commands ---------------------------------------------------------------------------------


EVERY_PAGE = [
    ("explain", HOST),
    ("explain", INCIDENT),
    ("explain", CLOSED),
    ("incident", "list"),
    ("incident", "list", "--all"),
    ("incident", "show", INCIDENT),
    ("incident", "show", CLOSED),
]


@pytest.mark.parametrize("words", EVERY_PAGE, ids=" ".join)
def test_page__of_every_kind__fits_eighty_columns(
    words: tuple[str, ...], path: Path, view: ClusterView
) -> None:
    """It can be read on the console of a machine in trouble."""
    with AnsweringDaemon(path, view):
        result = run(path, *words)

    assert ExitCode.OK == result.exit_code, result.stderr
    assert [] == [text for text in result.stdout.splitlines() if len(text) > 80]
    assert "<" not in result.stdout, "a sentence has a gap"


@pytest.mark.parametrize("words", EVERY_PAGE, ids=" ".join)
def test_page__as_json__is_exactly_the_daemons_answer(
    words: tuple[str, ...], path: Path, view: ClusterView
) -> None:
    """A script sees what the daemon said, neither more nor less."""
    answers = Answers(round_over(view), POLICY, NOW_S)
    expected: Mapping[str, Any]
    match words:
        case ("explain", subject):
            expected = answers.explain(subject)
        case ("incident", "list", *_):
            expected = answers.incidents(with_closed="--all" in words)
        case _:
            expected = answers.incident(words[-1])

    with AnsweringDaemon(path, view):
        result = run(path, *words, "-f", "json")

    assert json.loads(json.dumps(expected)) == json.loads(result.stdout)


def test_explain__open_incident__tells_its_story_in_order(path: Path, view: ClusterView) -> None:
    """From the first sign on, with the rule and the value behind what was decided."""
    with AnsweringDaemon(path, view):
        page = flat(run(path, "explain", INCIDENT))

    in_order = [
        "open, the host is EVACUATING",
        "which controller-2 also sees",
        "passed by hand: storm: many hosts",
        "+0.0 s its agent's session was gone",
        "+2.5 s it is dead",
        "detection.controllers_agree = 2",
        "+2.6 s its device bmc is ordered",
        "+10:03 its fencing is held (disarmed)",
        "+1:10:03 it is proven dead",
        "session lost 2.50 s ago",
        "proven dead 01-01 00:00:00, power",
        "guest-2 done host-2 +10.0 s +14.5 s",
        "Still open, because",
        "its evacuation is held (disarmed)",
    ]
    assert in_order == sorted(in_order, key=page.index)


def test_explain__closed_incident__is_still_told(path: Path, view: ClusterView) -> None:
    """What happened last week can be read this week, also what an older version wrote."""
    with AnsweringDaemon(path, view):
        page = flat(run(path, "explain", CLOSED))

    assert "host-2-9: closed 01-01 01:00:00" in page
    assert "by ada" in page
    assert "Its story was not kept" in page
    assert "Still open" not in page


def test_explain__neither_host_nor_incident__is_refused(path: Path, view: ClusterView) -> None:
    """A typing error is answered by what to do about it."""
    with AnsweringDaemon(path, view):
        result = run(path, "explain", "host-7-1")

    assert ExitCode.REFUSED == result.exit_code
    assert "not enrolled" in result.stderr


def test_incident_list__closed_ones__are_counted_or_shown(path: Path, view: ClusterView) -> None:
    """What is open comes first; what is over is not in the way."""
    with AnsweringDaemon(path, view):
        short, long = (flat(run(path, "incident", "list", *more)) for more in ((), ("--all",)))

    assert INCIDENT in short
    assert CLOSED not in short
    assert "1 closed ones are kept" in short
    assert long.index(INCIDENT) < long.index(CLOSED)
    assert "ada" in long


def test_incident_list__nothing_open__says_so(path: Path) -> None:
    """An empty table is no answer."""
    with AnsweringDaemon(path, a_view(a_host(HOST))):
        assert "no incident is open" == flat(run(path, "incident", "list"))


def test_incident__unknown__says_where_they_are_listed(path: Path, view: ClusterView) -> None:
    """Forgotten incidents are not there any more, and the kept ones have a list."""
    with AnsweringDaemon(path, view):
        result = run(path, "incident", "show", "host-1-99")

    assert ExitCode.REFUSED == result.exit_code
    assert "hamon incident list --all" in result.stderr


# -- the export -----------------------------------------------------------------------------------


def test_export__to_a_file__is_the_whole_document(
    path: Path, view: ClusterView, tmp_path: Path
) -> None:
    """One file goes into the report: what was decided, by what, and what became of each guest."""
    there = tmp_path / "incident.json"

    with AnsweringDaemon(path, view):
        said = flat(run(path, "incident", "export", INCIDENT, "--output", there))
        printed = run(path, "incident", "export", INCIDENT).stdout

    document = json.loads(there.read_text())
    assert str(there) in said.replace(" ", "")
    assert document == json.loads(printed)
    assert EXPORT_SCHEMA == document["export"]
    assert {
        "export",
        "exported_at",
        "exported_by",
        "hamon",
        "timeline",
        "policy",
        "policy_hash",
        "incident",
        "migrations",
        "not_movable",
        "host_state",
    } == set(document)
    assert (INCIDENT, "fence") == (
        document["incident"]["incident"],
        document["policy"]["detection.hung"],
    )
    assert [each.code for each in STORY] == [each["code"] for each in document["timeline"]]
    assert ["guest-1", "guest-2"] == [each["name"] for each in document["migrations"]]


def test_export__file_that_cannot_be_written__says_which(
    path: Path, view: ClusterView, tmp_path: Path
) -> None:
    """It is no traceback."""
    with AnsweringDaemon(path, view):
        result = run(path, "incident", "export", INCIDENT, "--output", tmp_path / "no" / "file")

    assert ExitCode.REFUSED == result.exit_code
    assert "cannot be written" in result.stderr


def test_export__every_field__is_documented() -> None:
    """Who reads a file of last year finds what its fields mean."""
    page = (Path(__file__).parents[2] / "docs/incidents.md").read_text()
    view = a_view(a_lost_host(HOST, HostState.FENCING), incidents=[an_incident()])

    document = Answers(round_over(view), POLICY, NOW_S).export(INCIDENT)

    missing = [name for name in (*document, *document["incident"]) if f"`{name}`" not in page]
    assert [] == missing


def test_explain__command_line_in_the_policy__is_told_to_nobody(view: ClusterView) -> None:
    """An operator's own program may hold anything."""
    policy = Policy(recovery=ReturnPolicy(before_gate=("/bin/x", "--token=secret")))

    answer = Answers(round_over(view), policy, NOW_S).explain(HOST)

    assert "secret" not in json.dumps(answer)


# -- what would come next -------------------------------------------------------------------------


def needs(host: HostView, policy: Policy = POLICY, **others: Any) -> dict[str, bool]:  # noqa: ANN401
    """What the next step against a host would need, and whether it is so."""
    view = a_view(host, a_host(SPARE), **others)
    looked = outlook(view, host, policy, (), NOW_S)
    return {need.reason.code: need.is_met for need in looked.needs}


def test_outlook__well_host__needs_nothing() -> None:
    """Nobody is told what would fence a host that is well."""
    assert {} == needs(a_host(HOST))


def test_outlook__host_that_is_dead__has_all_it_needs() -> None:
    """What convicts and what is told to convict are the same."""
    assert {
        "need_session_gone": True,
        "need_silence": True,
        "need_no_life": True,
        "need_power_off_twice": True,
        "need_views": True,
        "need_no_hold": True,
    } == needs(a_lost_host(HOST))


def test_outlook__lost_host_that_nobody_seconds__says_what_is_missing() -> None:
    """Its power reads On, and the other controller does not hear its silence."""
    lost = a_lost_host(HOST, readings=(a_reading(Power.ON, age_s=1.0),))
    reports = [a_report(ME, silent=[HOST]), a_report(OTHER)]

    told = needs(lost, controllers=reports)

    assert {"need_power_off_twice", "need_views"} == {code for code, met in told.items() if not met}


def test_outlook__kernel_that_answers__is_up_to_the_policy() -> None:
    """What would fence a hung host is a key of the configuration."""
    hung = a_host(
        HOST,
        HostState.HUNG,
        is_here=False,
        evidence=(a_vote(Vote.ALIVE_WEAK, for_s=60.0),),
    )
    fenced = replace(hung, spec=replace(hung.spec, policy=HostPolicy(hung=HungPolicy.FENCE)))

    assert (False, True) == (needs(hung)["need_policy"], needs(fenced)["need_policy"])


@pytest.mark.parametrize(
    ("state", "check", "missing"),
    [
        (HostState.DEGRADED, "storage", set()),
        (HostState.DEGRADED, LIBVIRT_CHECK, {"need_harm"}),
        (HostState.QUARANTINED, "storage", {"need_policy"}),
    ],
)
def test_outlook__degraded_host__has_all_it_needs_only_if_it_is_fenced(
    state: HostState, check: str, missing: set[str]
) -> None:
    """A lost libvirt alone fences nobody, and one in quarantine is let be: that is a box too."""
    policy = Policy(detection=DetectionPolicy(degraded=DegradedPolicy.FENCE))
    host = a_host(HOST, state, checks=HostChecks(boot_id=BOOT, failed={check: "no answer"}))

    told = needs(host, policy)

    assert missing == {code for code, met in told.items() if not met}
    decision = decide(a_view(host, a_host(SPARE)), policy, NOW_S)
    is_convicted = any(c.reason.code == "host_convicted" for c in decision.transitions)
    assert is_convicted is not bool(missing)


@pytest.mark.parametrize(("settled_s", "is_met"), [(NOW_S - 9.0, True), (NOW_S - 1.0, False)])
def test_outlook__host_being_fenced__names_the_devices_that_must_read_off(
    settled_s: float, *, is_met: bool
) -> None:
    """An Off from before its order ended proves nothing."""
    host = a_lost_host(HOST, HostState.FENCING, readings=off_twice(), shot_settled_s=settled_s)
    view = a_view(host, incidents=[an_incident(shots=(a_shot(),))])

    looked = outlook(view, host, POLICY, (), NOW_S)

    assert Next.PROVEN is looked.step
    assert [("need_device_off", is_met), ("need_no_hold", True)] == [
        (need.reason.code, need.is_met) for need in looked.needs
    ]


@pytest.mark.parametrize(("known_s", "is_met"), [(NOW_S - 5.0, False), (NOW_S - 500.0, True)])
def test_outlook__watchdog__says_how_long_it_may_still_take(
    known_s: float, *, is_met: bool
) -> None:
    """It is waited for in full, and by each leader anew."""
    dog = replace(a_device("dog", kind=WATCHDOG), margin_s=1.0)
    facts = WatchdogFacts(identity="test", timeout_s=10.0, nowayout=True, r_max_s=5.0, is_soft=True)
    host = a_lost_host(HOST, HostState.FENCING, fence=(dog,))
    assert host.self_.value is not None
    guarded = replace(host, self_=at(1, replace(host.self_.value, watchdog=facts)))
    incident = replace(an_incident(), opened_s=known_s)

    looked = outlook(a_view(guarded, incidents=[incident]), guarded, POLICY, (), NOW_S)

    assert [("need_watchdog_time", is_met)] == [
        (need.reason.code, need.is_met) for need in looked.needs[:-1]
    ]


def test_explain__held_suspect__says_what_is_missing_and_the_values(path: Path) -> None:
    """The rule and the key stand beside the reason, a host's own choice marked as such."""
    lost = a_lost_host(HOST, HostState.SUSPECT, readings=())
    own = replace(lost, spec=replace(lost.spec, policy=HostPolicy(hung=HungPolicy.FENCE)))
    heard = replace(own, evidence=(a_vote(Vote.ALIVE_WEAK, for_s=1.0),))

    with AnsweringDaemon(path, a_view(heard, a_host(SPARE))):
        page = flat(run(path, "explain", HOST))

    assert "verdict now: lost" in page
    assert "detection.hung = fence (hosts.d), detection.hung_after_s = 30" in page
    assert "[ ] nothing else shows life (now: alive by kernel)" in page
    assert "[x] no hold stands in the way" in page


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (WALL, "+0.0 s"),
        ("2025-12-31T23:59:59.000Z", "-1.0 s"),
        ("2026-01-01T00:10:01.000Z", "+10:01"),
        ("2026-01-01T02:00:00.000Z", "+2:00:00"),
        ("yesterday", "yesterday"),
    ],
)
def test_since__whatever_was_stamped__is_read_at_a_glance(at: str, told: str) -> None:
    """Seconds where seconds count, hours where they do not."""
    assert told == since(WALL, at)
