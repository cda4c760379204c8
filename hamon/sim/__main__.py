"""The simulator by hand: ``python -m hamon.sim walk --seed N`` and ``… scenario DIR``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hamon.model.policy import Backend
from hamon.sim.events import Event
from hamon.sim.scenario import Scenario, expected, rewrite, run
from hamon.sim.walk import STEPS, walk


def main(arguments: list[str]) -> int:
    """Run walks or a scenario; return 0 if all went well."""
    parser = argparse.ArgumentParser(prog="python -m hamon.sim", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    walking = verbs.add_parser("walk", help="walk at random, by seed")
    walking.add_argument("--seed", type=int, default=0)
    walking.add_argument("--walks", type=int, default=1, help="how many, with seeds from there on")
    walking.add_argument("--steps", type=int, default=STEPS, help="faults in one walk")
    walking.add_argument("--backend", type=Backend, choices=tuple(Backend), default=Backend.LIBVIRT)
    walking.add_argument("--verbose", action="store_true", help="show every event")
    playing = verbs.add_parser("scenario", help="play a scenario and compare its events")
    playing.add_argument("folder", type=Path)
    playing.add_argument(
        "--rewrite", action="store_true", help="take its events for the right ones"
    )
    playing.add_argument("--verbose", action="store_true", help="show every event")
    options = parser.parse_args(arguments)
    if options.verb == "walk":
        return _walk(options)
    return _play(options)


def _walk(options: argparse.Namespace) -> int:
    failed = 0
    for seed in range(options.seed, options.seed + options.walks):
        walked = walk(seed, options.steps, _show if options.verbose else None, options.backend)
        failed += walked.violation is not None
        _say(walked.verdict)
    return 1 if failed else 0


def _play(options: argparse.Namespace) -> int:
    scenario = Scenario.read(options.folder)
    played = run(scenario, _show if options.verbose else None)
    if played.violation is not None:
        _say(str(played.violation))
        return 1
    if options.rewrite:
        rewrite(scenario, played)
    if played.golden == expected(scenario):
        _say(f"{scenario.name}: as expected")
        return 0
    for line in played.difference(expected(scenario)):
        _say(line)
    return 1


def _show(event: Event) -> None:
    _say(event.plain())


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
