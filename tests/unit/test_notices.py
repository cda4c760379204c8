"""What is told to other systems: once each, with the fate of the guests, again by a new leader."""

from hamon.engine.notices import HOLD_FORGOTTEN_AFTER_S, Notices
from hamon.model.change import Decision
from hamon.model.control import Hold, HoldKind
from hamon.model.host import HostState
from hamon.model.incident import MigrationStatus
from hamon.model.notice import Notice, NoticeEvent
from hamon.model.policy import EvacuationPolicy
from hamon.model.view import IncidentView
from tests.builders import HOST, NOW_S, SPARE, a_host, a_migration, a_view, an_entry, an_incident

STAMP = "2026-11-23T00:00:00.000Z"
HELD = Hold(kind=HoldKind.STORM, scope="cluster", reason="4 hosts lost", needs_human=True)


def notices() -> Notices:
    """Give the follower of a leader that has just come."""
    return Notices("lab", EvacuationPolicy())


def incident(*stamps: str, closed: bool = False, moved: bool = False) -> IncidentView:
    """The host's incident, at this stage."""
    migrations = [a_migration(status=MigrationStatus.DONE, dest_compute=SPARE)] if moved else []
    return an_incident(*migrations, stamps=dict.fromkeys(stamps, STAMP), closed=closed)


def told(
    notices: Notices, *incidents: IncidentView, holds: tuple[Hold, ...] = (), now_s: float = NOW_S
) -> list[Notice]:
    """Have one round seen."""
    host = a_host(HOST, HostState.EVACUATING, entries=[an_entry()])
    view = a_view(host, a_host(SPARE), incidents=incidents)
    return list(notices.advance(view, Decision(holds=holds), now_s))


def test_incident__goes_its_way__each_step_is_told_once() -> None:
    """By the stamps of its record, with an id that stays the same."""
    following = notices()
    assert told(following) == []

    events = []
    for stamps, closed in (
        (("convicted",), False),
        (("convicted",), False),
        (("convicted", "fenced"), False),
        (("convicted", "fenced", "evacuated"), False),
        (("convicted", "fenced", "evacuated", "returned"), True),
    ):
        for notice in told(following, incident(*stamps, closed=closed)):
            name = notice.body["incident"]
            assert notice.id == notice.body["id"] == f"lab/{name}/{notice.event}"
            assert notice.body["repeated"] is False
            events.append(notice.event)

    assert events == ["opened", "fenced", "finished", "closed"]


def test_incident__two_steps_in_one_round__are_both_told_in_order() -> None:
    """Nothing is skipped because it went fast."""
    following = notices()
    told(following)

    steps = told(following, incident("convicted", "fenced"))

    assert [notice.event for notice in steps] == ["opened", "fenced"]


def test_leader__that_takes_over__tells_the_latest_of_what_is_open_again() -> None:
    """Its predecessor may have left before it was sent; what is closed is nobody's news."""
    following = notices()

    [notice] = told(following, incident("convicted", "fenced"))
    assert (notice.event, notice.body["repeated"]) == (NoticeEvent.FENCED, True)
    assert told(notices(), incident("convicted", "fenced", "evacuated", closed=True)) == []

    following.leave_office()
    [again] = told(following, incident("convicted", "fenced"))
    assert again.id == notice.id


def test_finished__has_the_fate_of_every_guest() -> None:
    """Who moved where, and who did not and why."""
    following = notices()
    told(following)

    *_, notice = told(following, incident("convicted", "fenced", "evacuated", moved=True))

    [guest] = notice.body["guests"]
    assert (guest["name"], guest["status"], guest["destination"]) == ("guest-1", "done", SPARE)


def test_hold__that_needs_a_person__is_told_once_until_it_was_gone_for_a_while() -> None:
    """One that flickers does not ring every second."""
    following = notices()
    own = Hold(kind=HoldKind.START_UP, scope="cluster", reason="young")

    assert [n.event for n in told(following, holds=(HELD, own))] == ["held"]
    assert told(following, holds=(HELD,), now_s=NOW_S + 1) == []
    assert told(following, now_s=NOW_S + 2) == []
    assert told(following, holds=(HELD,), now_s=NOW_S + 3) == []
    gone_s = NOW_S + 4 + HOLD_FORGOTTEN_AFTER_S
    assert told(following, now_s=gone_s) == []
    [notice] = told(following, holds=(HELD,), now_s=gone_s + 1)
    assert notice.body["reason"] == "4 hosts lost"
