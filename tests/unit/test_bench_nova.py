"""The Nova benchmark counts, compares and judges rightly what it has seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from bench import calls, guest_places, nova_report, nova_verdicts
from bench.calls import Calls
from bench.contenders import masakari
from bench.contenders.contender import Cut
from bench.contenders.masakari_service import config
from bench.contenders.posting import force_down, post, servers_on
from bench.guest_places import Guest
from bench.nova import in_turn
from bench.nova_measured import Growth, Kept, Run, medians
from bench.nova_report import Results
from lab.names import LabError
from lab.openstack import access
from lab.openstack.access import Request

RUN = Run(
    contender="hamon",
    number=1,
    guests=8,
    host="h1",
    load=1.0,
    proof_s=5.0,
    first_s=6.0,
    active_s=15.0,
    writing_s=20.0,
    confirmed_s=16.0,
    calls=Calls(all=12, logins=1, evacuations=8),
)
AT_ONCE = replace(RUN, contender="all at once", proof_s=0.0, active_s=10.0)
SERIAL = replace(RUN, contender="host-evacuate", proof_s=0.0, active_s=12.0)
ASKED = Request(
    asked_s=1.0,
    answered_s=2.0,
    sender="10.77.0.11",
    agent="python-novaclient",
    method="POST",
    path="/v2.1/servers/1/action",
    action="evacuate",
    status=200,
)
LOGIN = replace(
    ASKED, asked_s=0.5, answered_s=0.7, path="/v3/auth/tokens", action="auth", status=201
)
GUEST = Guest(uuid="u1", name="g1", host="h1", vm_state="active", task_state="")


# -- counting -------------------------------------------------------------------------------------


def test_count__requests_after_the_end__are_left_out() -> None:
    """Only what is asked between the proof and the end is of the evacuation."""
    late = replace(ASKED, asked_s=9.0, answered_s=9.5)

    assert Calls(all=2, logins=1, evacuations=1) == calls.count([LOGIN, ASKED, late], 5.0)


def test_count__refused_evacuation__is_a_request_but_no_evacuation() -> None:
    """What Nova refused has begun nothing."""
    refused = replace(ASKED, status=400)

    assert Calls(all=1, logins=0, evacuations=0) == calls.count([refused], 5.0)
    assert calls.first_evacuation_s([refused]) is None
    assert calls.first_evacuation_s([refused, ASKED]) == 2.0


def test_requests_in__log_with_other_lines__finds_requests_since(tmp_path: Path) -> None:
    """A service's log also has what the service says, and a last line that is half written."""
    log = tmp_path / "keystone.log"
    lines = [json.dumps(asdict(request)) for request in (LOGIN, ASKED)]
    log.write_text("\n".join(["2026 INFO up", *lines, lines[0][:40]]))

    assert [ASKED] == list(access.requests_in(log, 1.0))
    assert [LOGIN, ASKED] == list(access.requests_in(log, 0.0))


# -- where the guests are -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "guest",
    [
        replace(GUEST),
        replace(GUEST, host=""),
        replace(GUEST, host="h2", task_state="rebuild_spawning"),
        replace(GUEST, host="h2", vm_state="error"),
    ],
)
def test_runs_elsewhere__not_yet__no(guest: Guest) -> None:
    """Nova says active before it says where."""
    assert not guest.runs_elsewhere("h1")
    assert replace(GUEST, host="h2").runs_elsewhere("h1")


def test_wait_elsewhere__last_guest_moves__says_when() -> None:
    """It is asked until all are there."""
    answers = iter([[GUEST], [replace(GUEST, host="h2")]])

    assert guest_places.wait_elsewhere(lambda: next(answers), "h1", 5.0, asks_again=False)
    assert guest_places.wait_elsewhere(lambda: [GUEST], "h1", -1.0, asks_again=True) is None


def test_wait_elsewhere__nova_has_given_up__is_waited_for_if_somebody_asks_again() -> None:
    """Who posted and went home is not waited for until the deadline."""
    failed, there = [replace(GUEST, vm_state="error")], [replace(GUEST, host="h2")]
    answers = iter([failed, there])

    assert guest_places.wait_elsewhere(lambda: failed, "h1", 60.0, asks_again=False) is None
    assert guest_places.wait_elsewhere(lambda: next(answers), "h1", 60.0, asks_again=True)


def test_rows_of__answer_without_its_end__is_an_error() -> None:
    """A client that died midway must not look like a cloud without guests."""
    assert [["u1", "h2"]] == guest_places.rows_of(["u1\th2\n", "end\n"])
    with pytest.raises(LabError, match="does not answer"):
        guest_places.rows_of(["u1\th2\n"])


def test_faults__lost_stuck_and_double__are_named() -> None:
    """Each guest is to be elsewhere, by one evacuation that is done."""
    before = [replace(GUEST, uuid=f"u{n}", name=f"g{n}") for n in range(1, 5)]
    there = [replace(guest, host="h2") for guest in before]
    after = [there[0], before[1], there[2]]
    evacuations = {"u1": ["done"], "u2": ["accepted"], "u3": ["failed", "done"], "u4": ["done"]}

    found = guest_places.faults(before, after, evacuations, "h1")

    assert [
        "g2 stuck: h1 active",
        "g2 evacuated 1 times: accepted",
        "g3 evacuated 2 times: failed done",
        "g4 lost",
    ] == found
    well = {uuid: ["done"] for uuid in evacuations}
    assert guest_places.faults(before, there, well, "h1") == []


# -- the contenders -------------------------------------------------------------------------------


class FakeNova:
    """Remembers what it was asked; refuses what it is told to refuse."""

    def __init__(self, refuses: Callable[[str], bool] = lambda _: False) -> None:
        self.asked: list[tuple[str, str, object]] = []
        self._refuses = refuses

    def compute(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
        """Answer as Nova does."""
        self.asked.append((method, path, body))
        if self._refuses(path):
            raise LabError("400")
        return {"services": [{"id": "s1"}], "servers": [{"id": "u1"}, {"id": "u2"}]}


@pytest.mark.parametrize("threads", [1, 2])
def test_post__each_server__is_asked_for_once(threads: int) -> None:
    """At once or one after the other, Nova gets one request for each."""
    nova = FakeNova()

    post(nova, servers_on(nova, "h1"), threads=threads)

    posted = sorted(path for method, path, _ in nova.asked if method == "POST")
    assert posted == ["/servers/u1/action", "/servers/u2/action"]
    assert ("POST", "/servers/u1/action", {"evacuate": {}}) in nova.asked


def test_post__one_refused__the_others_are_asked_for_and_it_is_told() -> None:
    """A contender that fails must not look quick."""
    nova = FakeNova(lambda path: "u1" in path)

    with pytest.raises(LabError, match="1 of 2 evacuations were refused"):
        post(nova, ["u1", "u2"], threads=1)
    assert len(nova.asked) == 2


def test_force_down__known_host__by_the_id_of_its_service() -> None:
    """In Nova a service is addressed by its id."""
    nova = FakeNova()

    force_down(nova, "h1")

    assert nova.asked[-1] == ("PUT", "/os-services/s1", {"forced_down": True})


def test_masakari__profiles__differ_in_their_options_only() -> None:
    """As it comes it is given nothing; the password and the options end up in its file."""
    default, tuned = masakari.profiles()

    assert default.options == {}
    assert not default.is_forced_down
    text = config(Path("/venv"), "secret", tuned.options)
    assert "wait_period_after_service_update = 1\n" in text
    assert "nova:" not in config(Path("/venv"), "secret", default.options).partition("[wsgi]")[0]
    assert "api_paste_config = /venv/etc/masakari/api-paste.ini\n" in text


def test_masakari__notification__says_that_the_host_is_surely_gone() -> None:
    """With another host status its engine ignores it."""
    told = masakari.notification(Cut(host="h1", at_s=0.0, known_after_s=4.0))

    assert told["hostname"] == "h1"
    assert told["payload"] == {
        "event": "STOPPED",
        "cluster_status": "OFFLINE",
        "host_status": "NORMAL",
    }


def test_in_turn__three_rounds__everybody_is_first_once() -> None:
    """Whoever is always last would find the longest lists."""
    everybody = [*masakari.profiles()]

    orders = [[c.name for c in in_turn(everybody, number)] for number in (1, 2, 3)]

    assert orders[0] == ["masakari", "masakari tuned"]
    assert orders[1] == ["masakari tuned", "masakari"]
    assert orders[2] == orders[0]


# -- judging --------------------------------------------------------------------------------------


def test_medians__run_that_never_finished__has_no_median() -> None:
    """The runs that did finish must not speak for one that did not."""
    runs = [RUN, replace(RUN, active_s=17.0), replace(AT_ONCE, active_s=None)]

    assert medians(runs, lambda run: run.from_proof_s) == {"hamon": 11.0, "all at once": None}


@pytest.mark.parametrize(("active_s", "is_reached"), [(16.4, True), (16.6, False), (None, False)])
def test_of_speed__limit__is_the_best_rival(active_s: float | None, is_reached: bool) -> None:  # noqa: FBT001
    """Measured from the proof, which hamon had after five seconds and the others at once."""
    runs = [replace(RUN, active_s=active_s), AT_ONCE, SERIAL]

    [verdict] = nova_verdicts.of_speed(runs, "eight")

    assert verdict.is_reached is is_reached
    assert nova_verdicts.of_speed([RUN], "eight") == []


def test_of_speed__no_rival_moved_all__nothing_is_shown() -> None:
    """Who is compared with nobody has not been compared."""
    failed = replace(SERIAL, active_s=None)

    assert not nova_verdicts.of_speed([RUN, failed], "eight")[0].is_reached


def test_of_speed__rival_left_guests_behind__is_judged_by_its_other_runs() -> None:
    """A rival is taken at its best, and hamon at everything that it did."""
    failed = replace(AT_ONCE, active_s=None)

    assert nova_verdicts.of_speed([RUN, failed, SERIAL], "eight")[0].is_reached
    quick = replace(AT_ONCE, active_s=5.0)
    assert not nova_verdicts.of_speed([RUN, failed, quick], "eight")[0].is_reached


def test_of_start__masakari__ten_times_later_as_it_comes_and_later_when_tuned() -> None:
    """Both are judged from the cut to the first request that Nova accepted."""
    default = replace(RUN, contender="masakari", first_s=61.0)
    tuned = replace(RUN, contender="masakari tuned", first_s=5.9)

    found = nova_verdicts.of_start([RUN, default, tuned])

    assert [verdict.is_reached for verdict in found] == [True, False]
    slow = replace(RUN, first_s=6.2)
    assert not nova_verdicts.of_start([slow, default])[0].is_reached


@pytest.mark.parametrize(
    ("calls_", "confirmed_s", "is_reached"),
    [
        (Calls(all=12, logins=2, evacuations=8), 16.0, True),
        (Calls(all=13, logins=2, evacuations=8), 16.0, False),
        (Calls(all=12, logins=3, evacuations=8), 16.0, False),
        (Calls(all=12, logins=2, evacuations=8), None, False),
    ],
)
def test_of_calls__limits__are_kept_until_all_is_confirmed(
    calls_: Calls,
    confirmed_s: float | None,
    is_reached: bool,  # noqa: FBT001
) -> None:
    """One and a half requests a guest, two logins."""
    [verdict] = nova_verdicts.of_calls([replace(RUN, calls=calls_, confirmed_s=confirmed_s)])

    assert verdict.is_reached is is_reached


def test_of_faults__a_rivals_fault__is_not_hamons() -> None:
    """A table shows them; the exit status is hamon's."""
    rival = replace(AT_ONCE, faults=("g1 lost",))

    assert nova_verdicts.of_faults([RUN, rival])[0].is_reached
    assert not nova_verdicts.of_faults([replace(RUN, faults=("g1 lost",))])[0].is_reached


@pytest.mark.parametrize(
    ("znodes", "leader_mib", "while_dead", "over"),
    [
        (110, 60.0, [True, True], [True, True]),
        (400, 60.0, [True, True], [False, True]),
        (401, 130.0, [False, False], [False, False]),
    ],
)
def test_of_growth__znodes_and_memory__are_judged(
    znodes: int, leader_mib: float, while_dead: list[bool], over: list[bool]
) -> None:
    """A journal that keeps its guests for ever grows without bound."""
    before = Kept(znodes=100, data_kib=10.0, leader_mib=60.0)
    after = Kept(znodes=znodes, data_kib=99.0, leader_mib=leader_mib)
    growth = Growth(guests=100, before=before, after=after)

    assert [verdict.is_reached for verdict in nova_verdicts.of_journal(growth)] == while_dead
    assert [verdict.is_reached for verdict in nova_verdicts.of_oblivion(growth)] == over
    assert nova_verdicts.of_journal(None) == nova_verdicts.of_oblivion(None) == []


def test_print_report__all_reached__says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """One table for each form of the lab, medians below, then what was reached."""
    rivals = [replace(AT_ONCE, active_s=10.0), SERIAL]

    assert nova_report.print_report(Results(real=[RUN, *rivals]))
    shown = capsys.readouterr().out
    assert "8 real guests" in shown
    assert "reached  real guests, proof to last active" in shown
    assert not nova_report.print_report(Results(real=[replace(RUN, active_s=90.0), *rivals]))
    assert not nova_report.print_report(Results())


def test_keep__results__as_json_with_verdicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was quoted can be looked up."""
    monkeypatch.setattr(nova_report, "RESULTS", tmp_path)

    file = nova_report.keep(Results(real=[RUN, AT_ONCE, SERIAL]))

    kept = json.loads(file.read_text())
    assert kept["real"][0]["calls"]["all"] == 12
    assert kept["verdicts"][0]["is_reached"]
