"""`make demo`: a host loses its power, and its guests run elsewhere; then it comes back.

KEEP=1 leaves the lab up at the end; BACKEND=libvirt is the one that is built; DEMO_LAB names the
lab.
"""

import os
import shlex
import sys
import time
from pathlib import Path

from lab import deployment, interruption, placement, records
from lab.event_log import EventLog
from lab.interruption import Interrupted
from lab.lab import Lab
from lab.names import PROJECT, LabError
from lab.narration import Narrator
from lab.observer import Observer, now_s
from lab.story import Story

NAME = "demo"
VICTIM = "h1"
PLACEMENT = {"h1": ["g1", "g2", "g3", "g4"], "h2": ["g5", "g6"], "h3": ["g7", "g8"]}
MOVING = PLACEMENT[VICTIM]
STAYING = [guest for host, guests in PLACEMENT.items() if host != VICTIM for guest in guests]

ASK_S = 0.2
EVACUATION_TIMEOUT_S = 240.0
RETURN_TIMEOUT_S = 120.0


class DemoFailedError(Exception):
    """Something did not happen as it should; the message says what."""


def main() -> None:
    """Run the demonstration; exit 0 only if everything happened as it should."""
    backend = os.environ.get("BACKEND") or "libvirt"
    if backend != "libvirt":
        sys.exit(f"demo: there is no BACKEND={backend}; BACKEND=libvirt is what can be shown")
    if os.geteuid() != 0:
        sys.exit("demo: needs root, for namespaces and libvirt")
    name = os.environ.get("DEMO_LAB") or NAME
    if name in records.names():
        sys.exit(f"demo: the lab {name!r} is still up; `{_lab_command(name)} down` removes it")
    sys.exit(_run(name, is_kept=os.environ.get("KEEP", "") not in {"", "0"}))


def _run(name: str, *, is_kept: bool) -> int:
    status = 1
    try:
        try:
            interruption.listen()
            _show(name)
            status = 0
        finally:
            interruption.ignore()
    except Interrupted as interrupted:
        status = interrupted.exit_status
        is_kept = False
        print(f"\ndemo: {interrupted}: tidying up", file=sys.stderr, flush=True)
    except (LabError, DemoFailedError) as error:
        print(f"\ndemo: FAILED: {error}", file=sys.stderr, flush=True)
    finally:
        if is_kept:
            _say_how_to_play(name)
        else:
            records.remove(name)
    if not is_kept:
        print("demo: the lab is removed: no process, mount, namespace or bridge of it is left")
    return status


# -- the story ------------------------------------------------------------------------------------


def _show(name: str) -> None:
    began_s = time.monotonic()
    _say("lab", "3 controllers: c1 c2 c3 with a ZooKeeper server each, hamon's daemon on c1 and c2")
    _say("", "3 compute hosts: h1 h2 h3 with libvirtd, both hamon agents and an IPMI BMC each")
    lab = Lab.create(name)
    _say("", f"up after {time.monotonic() - began_s:.1f} s")
    with lab.observer() as watching:
        _start_guests(lab, watching)
        story = _lose_power(lab, watching)
        _come_back(lab, story)
        _summarise(lab, story)


def _start_guests(lab: Lab, watching: Observer) -> None:
    began_s = time.monotonic()
    for host, guests in PLACEMENT.items():
        _say("guests" if host == VICTIM else "", f"{' '.join(guests)} on {host}")
    if lab.guests.accelerator != "kvm":
        _say("", "no KVM on this machine: QEMU emulates them, so their boot takes long")
    placement.place(lab, PLACEMENT, watching)
    took_s = time.monotonic() - began_s
    _say("", f"all write to their disks and are protected by hamon, after {took_s:.1f} s")


def _lose_power(lab: Lab, watching: Observer) -> Story:
    leading = deployment.leader(lab.daemons)
    _say("power", f"cut on {VICTIM}: all in it is dead at once, its BMC lives, nobody is told")
    _say("", f"hamon's leader is {leading.name if leading else 'unknown'}; seconds since the cut:")
    narrator = Narrator(now_s())
    story = Story(
        lab=lab,
        victim=VICTIM,
        moving=MOVING,
        watching=watching,
        log=EventLog(lab),
        narrator=narrator,
    )
    story.cut()
    asked_s = 0.0

    def is_elsewhere() -> bool:
        nonlocal asked_s
        if time.monotonic() > asked_s + ASK_S:
            _ask(lab, story, narrator)
            asked_s = time.monotonic()
        return story.has_happened("host_evacuated") and story.all_writing()

    story.follow(is_elsewhere, EVACUATION_TIMEOUT_S, f"{' '.join(MOVING)} writing again")
    narrator.speak(all_of_it=True)
    return story


def _ask(lab: Lab, story: Story, narrator: Narrator) -> None:
    """Ask the leader for what is not in its log; once all is scheduled there is nothing to ask."""
    if not story.has_happened("host_fenced"):
        narrator.tell_evidence(lab, VICTIM)
    elif not story.has_happened("host_evacuated"):
        convicted = next(e for e in story.events if e.name == "host_convicted")
        narrator.tell_schedule(lab, convicted.fact("incident"))


def _come_back(lab: Lab, story: Story) -> None:
    assert story.narrator is not None
    _say("return", f"power on at {VICTIM}; on its own disk are still its old guests")
    lab.host(VICTIM).power_on()
    story.narrator.say(now_s(), VICTIM, "has power again and boots")

    def is_back() -> bool:
        return story.has_happened("host_returned") and _state(lab, VICTIM) == "UP"

    story.follow(is_back, RETURN_TIMEOUT_S, f"{VICTIM} back in service")
    left = sorted(set(lab.guests.on_host(lab.host(VICTIM))) & set(MOVING))
    if left:
        raise DemoFailedError(f"{VICTIM} serves again with stale copies of {' '.join(left)}")
    text = "UP, in service again; its libvirt knows none of the moved guests any more"
    story.narrator.say(now_s(), VICTIM, text)
    story.narrator.speak(all_of_it=True)


def _state(lab: Lab, host: str) -> str:
    leading = deployment.leader(lab.daemons)
    if leading is None:
        return ""
    lines = deployment.ask(leading, "hosts")["hosts"]
    return next(str(line["state"]) for line in lines if line["host"] == host)


# -- the end --------------------------------------------------------------------------------------


def _summarise(lab: Lab, story: Story) -> None:
    where = placement.found_on(lab, lab.hosts)
    _say("summary", f"seconds without a write, of each guest of {VICTIM}")
    for guest in MOVING:
        homes = [host for host, guests in where.items() if guest in guests]
        lost_s = next(
            a.downtime_s for a in story.watching.absences(guest) if a.first_write_s > story.cut_s
        )
        _say("", f"{guest}  {VICTIM} -> {' '.join(homes):<4} {lost_s:6.2f} s")
    _say("phases", "seconds since the cut")
    phases = {
        "suspected": story.after_s("heartbeat_late"),
        "convicted": story.after_s("host_convicted"),
        "fenced": story.after_s("host_fenced"),
        "first guest being rebuilt": story.after_s("grant_claimed"),
        "all migrations done": story.after_s("host_evacuated"),
        "all guests writing": max(story.writing_after_s(guest) or 0.0 for guest in MOVING),
        "host back in service": story.after_s("host_returned"),
    }
    for phase, after_s in phases.items():
        _say("", f"{phase:<26}{'not seen' if after_s is None else f'{after_s:7.2f}'}")
    _check(story, where)
    _say("safety", "no disk was written by two guests, each guest runs once, no other host fenced")
    _say("", f"{' '.join(STAYING)} on the other hosts wrote all the time, under one boot")


def _check(story: Story, where: dict[str, list[str]]) -> None:
    """Raise DemoFailedError for whatever is not as it should be."""
    faults = []
    doubles = story.watching.double_writers()
    if doubles:
        faults.append(f"double writers: {' '.join(sorted(doubles))}")
    for guest in MOVING + STAYING:
        homes = [host for host, guests in where.items() if guest in guests]
        if len(homes) != 1:
            faults.append(f"{guest} runs on {' and '.join(homes) or 'no host'}")
    boots = {guest: story.boots_since(guest) for guest in MOVING}
    faults += [f"{guest} was started {n} times" for guest, n in boots.items() if n != 1]
    faults += [
        f"{guest} on another host did not just go on"
        for guest in STAYING
        if len(story.watching.boots(guest)) != 1 or not story.watching.writing(guest)
    ]
    convicted = {e.about for e in story.events if e.name in {"host_convicted", "fence_shot"}}
    if convicted != {VICTIM}:
        faults.append(f"fenced: {' '.join(sorted(convicted))}")
    if faults:
        raise DemoFailedError("; ".join(faults))


def _say_how_to_play(name: str) -> None:
    lab = _lab_command(name)
    hamon = f"{lab} exec c1 -- {shlex.quote(str(Path(sys.executable).with_name('hamon')))}"
    print(f"\ndemo: KEEP=1: the lab {name!r} stays up. In {PROJECT}:")
    for what, command in (
        ("what hamon sees", f"{hamon} status"),
        ("why it does what it does", f"{hamon} explain h2"),
        ("the lab: machines, processes, planes", f"{lab} status"),
        ("the guests, seen from outside", f"{lab} guests --watch"),
        ("another power cut", f"{lab} host h2 power-cut"),
        ("and power on again", f"{lab} host h2 power-on"),
        ("kill the leader", f"{lab} process c1 hamon kill"),
        ("everything back to normal", f"{lab} repair"),
        ("remove it all", f"{lab} down"),
    ):
        print(f"  # {what}\n  {command}")


def _lab_command(name: str) -> str:
    python = Path(sys.executable)
    if python.is_relative_to(PROJECT):
        python = python.relative_to(PROJECT)
    return f"{python} -m lab --name {name}"


def _say(topic: str, text: str) -> None:
    print(f"{topic:<9}{text}", flush=True)


if __name__ == "__main__":
    main()
