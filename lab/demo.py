"""`make demo`: a host loses its power, and its guests run elsewhere; then it comes back.

KEEP=1 leaves the lab up at the end; BACKEND=libvirt or nova is the system that it is shown on;
DEMO_LAB names the lab.
"""

import os
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from lab import deployment, interruption, records, summary
from lab.event_log import EventLog
from lab.interruption import Interrupted
from lab.lab import Lab
from lab.names import PROJECT, LabError
from lab.narration import Narrator
from lab.observer import Observer, now_s
from lab.stage import VICTIM, Stage
from lab.stage_libvirt import LibvirtStage
from lab.stage_nova import NovaStage
from lab.story import Story
from lab.summary import DemoFailedError, say

NAME = "demo"
STAGES: Mapping[str, type[Stage]] = {
    str(stage.backend): stage for stage in (LibvirtStage, NovaStage)
}

ASK_S = 0.2
EVACUATION_TIMEOUT_S = 240.0
RETURN_TIMEOUT_S = 120.0


def main() -> None:
    """Run the demonstration; exit 0 only if everything happened as it should."""
    backend = os.environ.get("BACKEND") or "libvirt"
    if backend not in STAGES:
        known = " and ".join(f"BACKEND={name}" for name in STAGES)
        sys.exit(f"demo: there is no BACKEND={backend}; {known} can be shown")
    if os.geteuid() != 0:
        sys.exit("demo: needs root, for namespaces and libvirt")
    name = os.environ.get("DEMO_LAB") or NAME
    if name in records.names():
        sys.exit(f"demo: the lab {name!r} is still up; `{_lab_command(name)} down` removes it")
    is_kept = os.environ.get("KEEP", "") not in {"", "0"}
    sys.exit(_run(STAGES[backend], name, is_kept=is_kept))


def _run(kind: type[Stage], name: str, *, is_kept: bool) -> int:
    status = 1
    stage: Stage | None = None
    try:
        try:
            interruption.listen()
            stage = _build(kind, name)
            _show(stage)
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
        if is_kept and stage is not None:
            _say_how_to_play(stage, name)
        else:
            records.remove(name)
    if not is_kept:
        print("demo: the lab is removed: no process, mount, namespace or bridge of it is left")
    return status


# -- the story ------------------------------------------------------------------------------------


def _build(kind: type[Stage], name: str) -> Stage:
    began_s = time.monotonic()
    for number, part in enumerate((*kind.parts, *kind.made_first())):
        say("" if number else "lab", part)
    lab = Lab.create(name, backend=kind.backend)
    say("", f"up after {time.monotonic() - began_s:.1f} s")
    return kind(lab)


def _show(stage: Stage) -> None:
    with stage.observer() as watching:
        _start_guests(stage, watching)
        story = _lose_power(stage, watching)
        _come_back(stage, story)
        summary.tell(stage, story)


def _start_guests(stage: Stage, watching: Observer) -> None:
    began_s = time.monotonic()
    for host, guests in stage.placement.items():
        say("guests" if host == VICTIM else "", f"{' '.join(guests)} on {host}")
    if stage.lab.guests.accelerator != "kvm":
        say("", "no KVM on this machine: QEMU emulates them, so their boot takes long")
    stage.start_guests(watching)
    took_s = time.monotonic() - began_s
    say("", f"all write to their disks and are protected by hamon, after {took_s:.1f} s")


def _lose_power(stage: Stage, watching: Observer) -> Story:
    lab = stage.lab
    leading = deployment.leader(lab.daemons)
    say("power", f"cut on {VICTIM}: all in it is dead at once, its BMC lives, nobody is told")
    say("", f"hamon's leader is {leading.name if leading else 'unknown'}; seconds since the cut:")
    log = EventLog(lab)
    log.know_guests(stage.names())
    narrator = Narrator(now_s(), stage.wording)
    story = Story(
        lab=lab,
        victim=VICTIM,
        moving=stage.moving,
        watching=watching,
        log=log,
        narrator=narrator,
    )
    story.cut()
    asked_s = 0.0

    def is_elsewhere() -> bool:
        nonlocal asked_s
        if time.monotonic() > asked_s + ASK_S:
            _ask(stage, story, narrator)
            asked_s = time.monotonic()
        return story.has_happened("host_evacuated") and story.all_writing()

    what = f"{' '.join(stage.moving)} writing again"
    story.follow(is_elsewhere, EVACUATION_TIMEOUT_S, what)
    narrator.speak(all_of_it=True)
    return story


def _ask(stage: Stage, story: Story, narrator: Narrator) -> None:
    """Ask the leader for what is not in its log; once all is scheduled there is nothing to ask."""
    if not story.has_happened("host_fenced"):
        narrator.tell_evidence(stage.lab, VICTIM)
    elif not story.has_happened("host_evacuated"):
        stage.tell_more(story)


def _come_back(stage: Stage, story: Story) -> None:
    lab = stage.lab
    assert story.narrator is not None
    say("return", f"power on at {VICTIM}; on its own disk are still its old guests")
    lab.host(VICTIM).power_on()
    story.narrator.say(now_s(), VICTIM, "has power again and boots")

    def is_back() -> bool:
        return stage.is_back(story) and _state(lab, VICTIM) == "UP"

    story.follow(is_back, RETURN_TIMEOUT_S, f"{VICTIM} back in service")
    left = sorted(set(stage.domains(lab.host(VICTIM))) & set(stage.moving))
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


def _say_how_to_play(stage: Stage, name: str) -> None:
    lab = _lab_command(name)
    hamon = f"{lab} exec c1 -- {shlex.quote(str(Path(sys.executable).with_name('hamon')))}"
    print(f"\ndemo: KEEP=1: the lab {name!r} stays up. In {PROJECT}:")
    for what, command in (
        ("what hamon sees", f"{hamon} status"),
        ("why it does what it does", f"{hamon} explain h2"),
        ("the lab: machines, processes, planes", f"{lab} status"),
        ("the guests, seen from outside", f"{lab} guests --watch"),
        *stage.hints(lab),
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


if __name__ == "__main__":
    main()
