"""evacuate-host and evacuate: what is shown and asked, what is sent, and how each outcome ends."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hamon.cli import watching
from hamon.cli.failure import ExitCode
from hamon.cli.invocation import Invocation
from hamon.cli.main import cli
from hamon.decide.naming import NAMED_MAX
from hamon.model.guest import NotMovable
from hamon.model.guest_policy import EVACUATE
from hamon.model.host import HostState
from hamon.model.incident import MigrationStatus
from hamon.model.view import ClusterView, IncidentView
from tests.builders import (
    BOOT,
    GUARD_VERSION,
    HOST,
    INCIDENT,
    NOW_S,
    SPARE,
    a_guest,
    a_host,
    a_lost_host,
    a_migration,
    a_view,
    an_entry,
    an_incident,
    an_own,
    at,
    owned_by,
)
from tests.unit.answering_daemon import AnsweringDaemon

LOCAL = an_entry(3, not_movable=(NotMovable.LOCAL_DISK,))
GUESTS = (an_entry(1), an_entry(2), LOCAL)


def run(*words: object, keys: str | None = None) -> Result:
    """Run one command line; ``keys``: what a person at a terminal types, None: nobody is there."""
    invocation = Invocation(is_interactive=keys is not None)
    return CliRunner().invoke(cli, [str(word) for word in words], input=keys, obj=invocation)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a control socket."""
    return tmp_path / "control.sock"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again at once, and give a daemon up that is gone: there is nothing to wait for here."""
    monkeypatch.setattr(watching, "PERIOD_S", 0.0)
    monkeypatch.setattr(watching, "PATIENCE_S", 0.0)


# -- the story of one evacuation ------------------------------------------------------------------


def lost() -> ClusterView:
    """The host is dead, and nothing has been done about it."""
    host = a_lost_host(HOST, HostState.SUSPECT, entries=GUESTS)
    # The next version of the guard names the incident; the builders' incident has this one.
    return a_view(replace(host, guard=at(GUARD_VERSION - 1, host.guard.value)), a_host(SPARE))


def under_way(state: HostState, *migrations: Any, **others: Any) -> ClusterView:  # noqa: ANN401
    """The incident of the host, with these migrations."""
    incident: IncidentView = an_incident(*migrations, **others)
    return a_view(a_lost_host(HOST, state, entries=GUESTS), a_host(SPARE), incidents=[incident])


def moving(first: MigrationStatus, second: MigrationStatus, **others: Any) -> list[Any]:  # noqa: ANN401
    """Migrations of both guests that can move."""
    return [
        a_migration(1, first, dest_compute=SPARE),
        a_migration(2, second, dest_compute=SPARE, **others),
    ]


FENCING = under_way(HostState.FENCING)
HALF_MOVED = under_way(
    HostState.EVACUATING, *moving(MigrationStatus.DONE, MigrationStatus.PRE_MIGRATING)
)
ALL_MOVED = under_way(HostState.EVACUATED, *moving(MigrationStatus.DONE, MigrationStatus.DONE))
STORY = (FENCING, HALF_MOVED, ALL_MOVED)


def evacuate_host(
    path: Path, *views: ClusterView, more: tuple[object, ...] = (), keys: str | None = None
) -> tuple[Result, AnsweringDaemon]:
    """Evacuate the host of a daemon that sees these views."""
    with AnsweringDaemon(path, *views) as daemon:
        return run("evacuate-host", HOST, "--socket", path, *more, keys=keys), daemon


def test_evacuate_host__every_guest_confirmed__ends_well_and_lists_all(path: Path) -> None:
    """Exit code 0 means: each guest that should move runs elsewhere."""
    result, _ = evacuate_host(path, lost(), *STORY, more=("--yes",))

    assert ExitCode.OK == result.exit_code, result.output
    assert "2 of 2 guests that should move are confirmed" in result.stdout
    assert "not movable: local_disk" in result.stdout


def test_evacuate_host__plain_output__tells_each_phase_once(path: Path) -> None:
    """A log of the command reads as the story, however often was looked."""
    views = (lost(), FENCING, FENCING, HALF_MOVED, HALF_MOVED, ALL_MOVED)

    result, _ = evacuate_host(path, *views, more=("--yes",))

    told = [text.partition(" s  ")[2] for text in result.stdout.splitlines() if " s  " in text]
    assert told == [
        "host host-1: FENCING",
        "host host-1: EVACUATING",
        "guest guest-1: done on host-2",
        "guest guest-2: pre-migrating on host-2",
        "host host-1: EVACUATED",
        "guest guest-2: done on host-2",
    ]


def test_evacuate_host__sent__binds_the_boot_that_was_shown(path: Path) -> None:
    """A host that rebooted between look and yes is not evacuated by an old decision."""
    _, daemon = evacuate_host(path, lost(), *STORY, more=("--target-host", SPARE), keys="y\n")

    expected = {"kind": "evacuate_host", "host": HOST, "boot_id": BOOT, "target": SPARE}
    assert [expected] == daemon.requests


@pytest.mark.parametrize("keys", ["n\n", "\n"])
def test_evacuate_host__person_says_no__sends_nothing(keys: str, path: Path) -> None:
    """Enter alone is a no."""
    result, daemon = evacuate_host(path, lost(), keys=keys)

    assert (ExitCode.REFUSED, []) == (result.exit_code, daemon.requests)


def test_evacuate_host__nobody_to_ask__is_wrong_usage_with_advice(path: Path) -> None:
    """A script says --yes."""
    result, daemon = evacuate_host(path, lost())

    assert (ExitCode.USAGE, []) == (result.exit_code, daemon.requests)
    assert "--yes" in result.stderr


def test_evacuate_host__hold_that_it_passes__is_shown_before_the_question(path: Path) -> None:
    """Nobody passes a brake without seeing it."""
    view = replace(lost(), own=an_own(watching_since_s=NOW_S))

    result, _ = evacuate_host(path, view, keys="n\n")

    page = " ".join(result.stdout.split())
    assert page.index("HOLD passed over") < page.index("and move 2 guests?")
    assert "(start_up)" in page


def test_evacuate_host__disarmed__is_refused_with_yes_too(path: Path) -> None:
    """--yes skips the question, never a hold that nobody passes."""
    view = replace(lost(), control=a_view(is_armed=False).control)

    result, _ = evacuate_host(path, view, more=("--yes",))

    assert ExitCode.REFUSED == result.exit_code
    assert "HOLD that nobody passes over" in result.stdout
    assert "`hamon arm` first" in result.stderr


def test_evacuate_host__host_alive__is_refused_with_advice(path: Path) -> None:
    """Guests of a live host are not started a second time."""
    result, _ = evacuate_host(path, a_view(a_host(HOST, entries=GUESTS)), more=("--yes",))

    assert ExitCode.REFUSED == result.exit_code
    assert "is alive" in result.stderr
    assert "power it off" in result.stderr


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("evacuate-host", "host-9"), "not enrolled"),
        (("evacuate-host", HOST, "--target-host", "host-9"), "not enrolled"),
        (("evacuate-host", HOST, "--target-host", HOST), "can't be the same one"),
        (("evacuate", "guest-9"), "not known"),
        (("evacuate", "guest-1", "host-9"), "not enrolled"),
        (("evacuate", "guest-1", HOST), "can't be the same one"),
    ],
)
def test_evacuation__of_or_to_what_cannot_be__is_refused_before_the_question(
    words: tuple[str, ...], why: str, path: Path
) -> None:
    """A typing error is said at once, and nothing is sent."""
    with AnsweringDaemon(path, lost()) as daemon:
        result = run("--socket", path, *words, "--yes")

    assert (ExitCode.REFUSED, []) == (result.exit_code, daemon.requests)
    assert why in result.stderr


def test_evacuate_host__no_wait__ends_when_accepted(path: Path) -> None:
    """A script that looks later does not wait now."""
    result, daemon = evacuate_host(path, lost(), more=("--yes", "--no-wait"))

    assert ExitCode.OK == result.exit_code
    assert "incident" not in [verb for verb, _ in daemon.asked]


# -- how it can end -------------------------------------------------------------------------------


def test_evacuate_host__source_came_back__is_incomplete(path: Path) -> None:
    """A guest that stays with its host did not move, and the exit code says so."""
    stays = moving(MigrationStatus.COMPLETED, MigrationStatus.STAYS, reason="source came back")
    over = under_way(HostState.RETURNING, *stays, closed=True)

    result, _ = evacuate_host(path, lost(), over, more=("--yes",))

    assert ExitCode.REFUSED == result.exit_code
    assert "1 of 2 guests" in result.stdout
    assert "source came back" in result.stdout


def test_evacuate_host__guest_without_migration__is_named_and_incomplete(path: Path) -> None:
    """A guest that hamon never took over is not left out of the sum."""
    over = under_way(HostState.EVACUATED, a_migration(1, MigrationStatus.DONE), closed=True)

    result, _ = evacuate_host(path, lost(), over, more=("--yes",))

    assert ExitCode.REFUSED == result.exit_code
    assert "no migration is recorded" in result.stdout


def test_evacuate_host__time_is_up__is_unknown_and_goes_on(path: Path) -> None:
    """A time-out ends the watching only."""
    waiting = moving(MigrationStatus.DONE, MigrationStatus.WAITING, reason="NoValidHost: RAM")
    full = under_way(HostState.EVACUATING, *waiting)

    result, _ = evacuate_host(path, lost(), full, more=("--yes", "--timeout", "0"))

    assert ExitCode.UNKNOWN == result.exit_code
    assert "NoValidHost: RAM" in " ".join(result.stdout.split())
    assert "goes on" in result.stderr


def test_evacuate_host__daemon_goes_away__is_unknown(path: Path) -> None:
    """What became of the guests is not known, and nothing else is claimed."""
    with AnsweringDaemon(path, lost(), FENCING) as daemon:

        def leave(verb: str) -> None:
            if verb == "incident":
                path.unlink()

        daemon.on_question = leave
        result = run("evacuate-host", HOST, "--yes", "--socket", path)

    assert ExitCode.UNKNOWN == result.exit_code
    assert "does not answer any more" in result.stderr


@pytest.mark.parametrize("before", [HostState.EVACUATED, HostState.EVACUATING])
def test_is_over__incident_joined_anew__waits_for_the_guest_that_was_added(
    before: HostState,
) -> None:
    """An incident that was finished before one more guest joined it is not finished now."""
    incident = {"closed": False, "host_state": before, "migrations": []}

    assert not watching.is_over(incident, frozenset({a_guest(1)}))


WATCH = "from hamon.cli.main import main\nmain()"


@pytest.mark.parametrize("seen", ["opened", "FENCING"])
def test_evacuate_host__ctrl_c__stops_watching_and_says_so(path: Path, seen: str) -> None:
    """Whoever stops looking does not stop the evacuation, at whatever moment."""
    with AnsweringDaemon(path, lost(), FENCING) as daemon:
        words = ["evacuate-host", HOST, "--yes", "--socket", str(path)]
        watcher = subprocess.Popen(
            [sys.executable, "-u", "-c", WATCH, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert watcher.stdout is not None
        for text in watcher.stdout:
            if seen in text:
                break
        watcher.send_signal(signal.SIGINT)
        _, errors = watcher.communicate(timeout=60)

    assert ExitCode.UNKNOWN == watcher.returncode
    assert "watching has stopped, nothing else" in errors
    assert 1 == len(daemon.requests)


# -- dry run --------------------------------------------------------------------------------------


def test_dry_run__all_could_move__says_where_and_what_cannot(path: Path) -> None:
    """The day before, one knows where each guest would go."""
    result, daemon = evacuate_host(path, lost(), more=("--dry-run",))

    page = " ".join(result.stdout.split())
    assert (ExitCode.OK, []) == (result.exit_code, daemon.requests)
    assert "guest-1 256 1 host-2" in page
    assert "not movable: local_disk" in page


def test_dry_run__no_room__ends_as_refused(path: Path) -> None:
    """A check in a script sees that a host's death would leave guests waiting."""
    host = a_lost_host(HOST, HostState.SUSPECT, entries=GUESTS)
    view = a_view(host, a_host(SPARE, ram_mib=1024 - 256))

    result, _ = evacuate_host(path, view, more=("--dry-run",))

    assert ExitCode.REFUSED == result.exit_code
    assert "NoValidHost" in result.stdout


def test_dry_run__as_json__is_the_daemons_answer(path: Path) -> None:
    """A script gets each guest with its place."""
    result, _ = evacuate_host(path, lost(), more=("--dry-run", "-f", "json"))

    answer = json.loads(result.stdout)
    assert (HOST, 3) == (answer["host"], len(answer["guests"]))


@pytest.mark.parametrize(
    "words", [("-f", "json"), ("--force",), ("--standalone", "--no-wait"), ("--timeout", "-1")]
)
def test_evacuate_host__options_that_make_no_sense__are_wrong_usage(
    words: tuple[str, ...], path: Path
) -> None:
    """What cannot be meant is not guessed at."""
    result, daemon = evacuate_host(path, lost(), more=("--yes", *words))

    assert (ExitCode.USAGE, []) == (result.exit_code, daemon.requests)


# -- one guest ------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["guest-2", str(a_guest(2))])
def test_evacuate__by_name_or_uuid__moves_this_guest_only(server: str, path: Path) -> None:
    """The other guests of the host are neither waited for nor counted."""
    over = under_way(HostState.EVACUATED, a_migration(2, MigrationStatus.DONE, dest_compute=SPARE))

    with AnsweringDaemon(path, lost(), over) as daemon:
        result = run("evacuate", server, SPARE, "--force", "--yes", "--socket", path)

    expected = {
        "kind": "evacuate",
        "host": HOST,
        "guest": a_guest(2),
        "target": SPARE,
        "boot_id": BOOT,
        "force": True,
    }
    assert (ExitCode.OK, [expected]) == (result.exit_code, daemon.requests), result.output
    assert "1 of 1 guests" in result.stdout
    assert "guest-1" not in result.stdout


def test_evacuate__guest_opted_out__says_so_and_moves_it(path: Path) -> None:
    """A person who names it knows more."""
    entry = an_entry(1, choices={EVACUATE: "false"})
    host = a_lost_host(HOST, HostState.SUSPECT, entries=[entry])
    host = replace(host, guard=at(GUARD_VERSION - 1, host.guard.value))
    over = under_way(HostState.EVACUATED, a_migration(1, MigrationStatus.DONE, dest_compute=SPARE))

    with AnsweringDaemon(path, a_view(host, a_host(SPARE)), over) as daemon:
        result = run("evacuate", "guest-1", "--yes", "--socket", path)

    assert (ExitCode.OK, 1) == (result.exit_code, len(daemon.requests)), result.output
    assert "opted out of evacuation (domain metadata hamon:evacuate=false)" in result.stdout


def test_evacuate__one_guest_more_than_may_be_named__is_refused_before_the_question(
    path: Path,
) -> None:
    """What cannot be is said at once, with what to do instead; nothing is sent."""
    named = tuple(a_guest(number) for number in range(100, 100 + NAMED_MAX))
    with AnsweringDaemon(path, under_way(HostState.FENCING, only=named)) as daemon:
        result = run("evacuate", "guest-1", "--socket", path, keys="")

    assert (ExitCode.REFUSED, []) == (result.exit_code, daemon.requests), result.output
    assert f"incident {INCIDENT} of host {HOST} names {NAMED_MAX} guests" in result.stderr
    assert f"hamon evacuate-host {HOST}" in result.stderr
    assert "Fence" not in result.stdout


def test_evacuate__force_without_destination__is_wrong_usage(path: Path) -> None:
    """Force has only Nova's meaning: skip the scheduler for a given host."""
    with AnsweringDaemon(path, lost()) as daemon:
        result = run("evacuate", "guest-1", "--force", "--yes", "--socket", path)

    assert (ExitCode.USAGE, []) == (result.exit_code, daemon.requests)


def test_evacuate__name_of_several_guests__is_refused_with_their_uuids(path: Path) -> None:
    """A name that two guests have moves neither."""
    both = {a_guest(1): owned_by(HOST, 1), a_guest(2): owned_by(HOST, 1)}
    with AnsweringDaemon(path, replace(lost(), guests=both)):
        result = run("evacuate", "guest-1", "--yes", "--socket", path)

    assert ExitCode.REFUSED == result.exit_code
    assert a_guest(2) in result.stderr


def test_evacuate__guest_moving_already__is_refused(path: Path) -> None:
    """One open migration per guest."""
    both = {a_guest(1): owned_by(HOST, 1, migration=INCIDENT), a_guest(2): owned_by(HOST, 2)}
    with AnsweringDaemon(path, replace(HALF_MOVED, guests=both)):
        result = run("evacuate", "guest-1", "--yes", "--socket", path)

    assert ExitCode.REFUSED == result.exit_code
    assert "in an evacuation already" in result.stderr
