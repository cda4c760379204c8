"""The end of the demonstration: downtimes, phases, and whether everything is as it should be."""

from lab.stage import VICTIM, Stage
from lab.story import Story


class DemoFailedError(Exception):
    """Something did not happen as it should; the message says what."""


def tell(stage: Stage, story: Story) -> None:
    """Print the summary.

    Raises:
        DemoFailedError: something is not as it should be; names all of it.
        LabError: somebody who is asked does not answer.
    """
    homes = stage.homes()
    say("summary", f"seconds without a write, of each guest of {VICTIM}")
    for guest in stage.moving:
        lost_s = next(
            a.downtime_s for a in story.watching.absences(guest) if a.first_write_s > story.cut_s
        )
        where = " ".join(host for host, guests in homes.items() if guest in guests)
        say("", f"{guest}  {VICTIM} -> {where:<4} {lost_s:6.2f} s")
    say("phases", "seconds since the cut")
    for phase, after_s in _phases(stage, story):
        say("", f"{phase:<26}{'not seen' if after_s is None else f'{after_s:7.2f}'}")
    said, faults = stage.testimony()
    for number, line in enumerate(said):
        say("" if number else str(stage.backend), line)
    faults += _faults(stage, story, homes)
    if faults:
        raise DemoFailedError("; ".join(faults))
    say("safety", "no disk was written by two guests, each guest runs once, no other host fenced")
    say("", f"{' '.join(stage.staying)} on the other hosts wrote all the time, under one boot")


def say(topic: str, text: str) -> None:
    """Print a line; the topic begins a new part, "" goes on with it."""
    print(f"{topic:<9}{text}", flush=True)


def _phases(stage: Stage, story: Story) -> list[tuple[str, float | None]]:
    """What happened when, in that order; what was not seen comes last."""
    phases = {phase: story.after_s(event) for event, phase in stage.phases.items()}
    writing = [story.writing_after_s(guest) for guest in stage.moving]
    phases["all guests writing"] = max(after_s or 0.0 for after_s in writing)
    return sorted(phases.items(), key=lambda item: (item[1] is None, item[1]))


def _faults(stage: Stage, story: Story, homes: dict[str, list[str]]) -> list[str]:
    """Whatever is not as it should be, by the disks, by libvirt and by hamon's logs."""
    faults = []
    doubles = story.watching.double_writers()
    if doubles:
        faults.append(f"double writers: {' '.join(sorted(doubles))}")
    for guest in [*stage.moving, *stage.staying]:
        running = [host for host, guests in homes.items() if guest in guests]
        if len(running) != 1:
            faults.append(f"{guest} runs on {' and '.join(running) or 'no host'}")
    boots = {guest: story.boots_since(guest) for guest in stage.moving}
    faults += [f"{guest} was started {n} times" for guest, n in boots.items() if n != 1]
    faults += [
        f"{guest} on another host did not just go on"
        for guest in stage.staying
        if len(story.watching.boots(guest)) != 1 or not story.watching.writing(guest)
    ]
    convicted = {e.about for e in story.events if e.name in {"host_convicted", "fence_shot"}}
    if convicted != {VICTIM}:
        faults.append(f"fenced: {' '.join(sorted(convicted))}")
    return faults
