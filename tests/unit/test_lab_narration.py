"""The demo's timeline reads in the order in which things happened."""

import pytest

from lab.event_log import Event
from lab.narration import Narrator
from lab.observer import now_s
from lab.wording import LIBVIRT, NOVA, words


def test_narrator__known_late__is_told_in_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    """What happened first is printed first, also when it became known second."""
    cut_s = now_s() - 10.0
    narrator = Narrator(cut_s, LIBVIRT)
    narrator.say(cut_s + 2.0, "g1", "second")
    narrator.say(cut_s + 1.0, "h1", "first")
    narrator.speak()

    assert "    +1.00 s  h1   first\n    +2.00 s  g1   second\n" == capsys.readouterr().out


def test_narrator__just_happened__waits_for_what_may_have_come_before(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A line is held for a moment, and at the end all that is held is told."""
    narrator = Narrator(now_s(), LIBVIRT)
    narrator.say(now_s(), "h1", "now")
    narrator.speak()
    before = capsys.readouterr().out
    narrator.speak(all_of_it=True)

    assert ("", True) == (before, capsys.readouterr().out.endswith("h1   now\n"))


def test_narrator__event_nobody_wants_to_see__is_not_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The loop's own lines stay in the log."""
    narrator = Narrator(now_s(), LIBVIRT)
    narrator.tell([Event(at_s=now_s(), machine="c1", name="tick_finished", about="", facts={})])
    narrator.speak(all_of_it=True)

    assert "" == capsys.readouterr().out


def test_words__same_event__each_backend_has_its_own() -> None:
    """What is only in one backend's story is not told in the other's."""
    claimed = Event(at_s=0.0, machine="c1", name="guest_claimed", about="g1", facts={"host": "h2"})

    assert "claimed by nova-compute on h2, being rebuilt there" == words(claimed, NOVA)
    assert "" == words(claimed, LIBVIRT)


def test_words__fact_missing_in_the_log__is_left_out() -> None:
    """A story goes on although a line of the log is not as it was."""
    facts = {"by": "power_off_twice"}
    convicted = Event(at_s=0.0, machine="c1", name="host_convicted", about="h1", facts=facts)

    assert "CONVICTED by c1: power off twice; incident " == words(convicted, LIBVIRT)
