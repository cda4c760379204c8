"""`make bench`: hamon and what a user would run instead, on the same Nova, with the same guests.

RUNS (5) rounds in which each contender evacuates a host once. PARTS (real fake many): eight guests
under QEMU; sixty of Nova's fake driver; three hundred of those, hamon only, for what that costs
Nova and hamon. CONTENDERS: only these, by their names with "-" for a space. Masakari as it comes
waits three minutes in each of its runs. Exit 0 only if every target was reached.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

from bench import nova_growth, nova_report
from bench.contenders import masakari
from bench.contenders.contender import Contender, Ground
from bench.contenders.hamon import Hamon
from bench.contenders.posting import AT_ONCE, ONE_AFTER_ANOTHER
from bench.guest_places import GuestPlaces
from bench.nova_cuts import NovaCuts
from bench.nova_measured import Growth, Run
from bench.nova_report import Results
from bench.nova_verdicts import HAMON
from lab import interruption, records
from lab.event_log import EventLog
from lab.hamon_files import SESSION_TIMEOUT_S
from lab.interruption import Interrupted
from lab.lab import Lab
from lab.names import LabError
from lab.topology import Backend, Computes, Driver

NAMES = {Driver.LIBVIRT: "benchreal", Driver.FAKE: "benchfake"}
PARTS = ("real", "fake", "many")
CONTENDERS = ("hamon", "all-at-once", "host-evacuate", "masakari", "masakari-tuned")
REAL, FAKE, MANY = 8, 60, 300


def main() -> None:
    """Run the benchmark."""
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for namespaces and libvirt")
    for name in NAMES.values():
        if name in records.names():
            sys.exit(f"bench: the lab {name!r} is still up: `python -m lab --name {name} down`")
    rounds, parts = _number("RUNS", 5), _chosen("PARTS", PARTS)
    results = Results()
    status = _run(results, parts, rounds)
    if results.parts:
        is_reached = nova_report.print_report(results)
        status = status or (0 if is_reached else 1)
        print(f"\nkept in {nova_report.keep(results)}")
    sys.exit(status)


def _run(results: Results, parts: Sequence[str], rounds: int) -> int:
    try:
        try:
            interruption.listen()
            if "real" in parts:
                _compare_real(results, rounds)
            if "fake" in parts:
                _compare_fake(results, rounds)
            if "many" in parts:
                _measure_many(results)
        finally:
            interruption.ignore()
    except Interrupted as interrupted:
        print(f"\nbench: {interrupted}: tidying up", file=sys.stderr, flush=True)
        return interrupted.exit_status
    except LabError as error:
        print(f"\nbench: FAILED: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        for name in NAMES.values():
            records.remove(name)
    return 0


def _compare_real(results: Results, rounds: int) -> None:
    """Have each contender evacuate guests under QEMU once in each round, all on one lab."""
    hamon = Hamon()
    contenders = _contenders([hamon, AT_ONCE, ONE_AFTER_ANOTHER, *masakari.profiles()])
    _announce(REAL, "under QEMU", rounds, contenders)
    with _cuts(Driver.LIBVIRT, REAL, hosts=2) as cuts:
        before = None
        for number in range(1, rounds + 1):
            cuts.place()
            if before is None:
                _warm_up(cuts)
                before = nova_growth.kept_of(cuts.ground.lab)
            _round(cuts, number, hamon, contenders, results.real)
        if before is not None and HAMON in {run.contender for run in results.real}:
            after = nova_growth.when_over(cuts.ground.lab, before)
            moved = sum(run.guests for run in results.real if run.contender == HAMON)
            results.oblivion = Growth(guests=moved, before=before, after=after)


def _compare_fake(results: Results, rounds: int) -> None:
    """Have those who only ask Nova evacuate guests of the fake driver, each round on its own lab.

    A host without libvirt does not come back by itself, so each contender has one of its own.
    """
    hamon = Hamon()
    contenders = _contenders([hamon, AT_ONCE, ONE_AFTER_ANOTHER])
    _announce(FAKE, "of Nova's fake driver", rounds, contenders)
    for number in range(1, rounds + 1):
        with _cuts(Driver.FAKE, FAKE, hosts=len(contenders) + 2) as cuts:
            cuts.place()
            _warm_up(cuts)
            _round(cuts, number, hamon, contenders, results.fake)


def _measure_many(results: Results) -> None:
    """Have hamon evacuate very many guests of one host."""
    hamon = Hamon()
    _announce(MANY, "of Nova's fake driver", 1, [hamon])
    with _cuts(Driver.FAKE, MANY, hosts=2) as cuts:
        cuts.place()
        before = nova_growth.kept_of(cuts.ground.lab)
        _round(cuts, 1, hamon, [hamon], results.many)
        after = nova_growth.kept_of(cuts.ground.lab)
        results.journal = Growth(guests=MANY, before=before, after=after)


def _announce(guests: int, what: str, rounds: int, contenders: Sequence[Contender]) -> None:
    names = ", ".join(contender.name for contender in contenders)
    print(f"\nbench: {guests} guests {what}, {rounds} times {names}\n", flush=True)
    nova_report.print_heads()


def _warm_up(cuts: NovaCuts) -> None:
    """Evacuate once without counting it: a Nova that never did is slow, and somebody is the first.

    Raises:
        LabError: Nova refused.
    """
    cuts.run(0, ONE_AFTER_ANOTHER, SESSION_TIMEOUT_S)
    cuts.move_on()


def _round(
    cuts: NovaCuts, number: int, hamon: Hamon, contenders: Sequence[Contender], runs: list[Run]
) -> None:
    for contender in in_turn(contenders, number):
        known_after_s = hamon.convicted_after_s or SESSION_TIMEOUT_S
        runs.append(cuts.run(number, contender, known_after_s))
        print(nova_report.row(runs[-1]), flush=True)
        cuts.move_on()


def in_turn(contenders: Sequence[Contender], number: int) -> list[Contender]:
    """The order of a round, from 1: everybody is the first, and the last, equally often."""
    first = (number - 1) % len(contenders)
    return [*contenders[first:], *contenders[:first]]


def _contenders(everybody: Sequence[Contender]) -> list[Contender]:
    """Those who take part."""
    chosen = _chosen("CONTENDERS", CONTENDERS)
    return [contender for contender in everybody if contender.name.replace(" ", "-") in chosen]


@contextmanager
def _cuts(driver: Driver, guests: int, *, hosts: int) -> Iterator[NovaCuts]:
    """A lab for runs, taken down afterwards."""
    computes = Computes(driver=driver)
    lab = Lab.create(NAMES[driver], hosts=hosts, backend=Backend.NOVA, computes=computes)
    assert lab.cloud is not None, "made with an OpenStack"
    seen = lab.observer() if driver is Driver.LIBVIRT else nullcontext()
    with seen as watching, GuestPlaces(lab.cloud.machine) as places:
        ground = Ground(lab=lab, cloud=lab.cloud, places=places, log=EventLog(lab))
        yield NovaCuts(ground=ground, guests=guests, watching=watching)
    records.remove(lab.layout.lab)


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or int(text) == 0:
        sys.exit(f"bench: {variable}={text!r} is no number from 1 on")
    return int(text)


def _chosen(variable: str, known: tuple[str, ...]) -> tuple[str, ...]:
    words = (os.environ.get(variable) or "").split() or known
    unknown = sorted(set(words) - set(known))
    if unknown:
        sys.exit(f"bench: {variable}: no {' '.join(unknown)}; there are {' '.join(known)}")
    return tuple(name for name in known if name in words)


if __name__ == "__main__":
    main()
