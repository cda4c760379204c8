"""`make bench`: hamon and what a user would run instead, on the same Nova, with the same guests.

RUNS (5) rounds in which each contender evacuates a host once. PARTS (real fake many): eight guests
under QEMU; sixty of Nova's fake driver; three hundred of those, hamon only, for what that costs
Nova and hamon. CONTENDERS: only these, by their names with "-" for a space. Masakari as it comes
waits three minutes in each of its runs. Exit 0 only if every target was reached.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from bench import nova_growth, nova_report
from bench.contenders import masakari
from bench.contenders.contender import Contender, Ground
from bench.contenders.hamon import Hamon
from bench.contenders.posting import AT_ONCE, ONE_AFTER_ANOTHER
from bench.guest_places import GuestPlaces
from bench.nova_cuts import NovaCuts
from bench.nova_measured import Run
from bench.nova_report import Results
from lab import interruption, records
from lab.event_log import EventLog
from lab.hamon_files import SESSION_TIMEOUT_S
from lab.interruption import Interrupted
from lab.lab import Lab
from lab.names import LabError
from lab.observer import Observer
from lab.openstack.cloud import Cloud
from lab.topology import Backend, Computes, Driver

NAMES = {Driver.LIBVIRT: "benchreal", Driver.FAKE: "benchfake"}
PARTS = ("real", "fake", "many")
REAL, FAKE, MANY = 8, 60, 300
HOSTS = 2


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
                _compare(Driver.LIBVIRT, REAL, rounds, results.real)
            if "fake" in parts:
                _compare(Driver.FAKE, FAKE, rounds, results.fake)
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


def _compare(driver: Driver, guests: int, rounds: int, runs: list[Run]) -> None:
    """Have each contender evacuate once in each round, in another order in each."""
    hamon = Hamon()
    contenders = _contenders(hamon, driver)
    names = ", ".join(contender.name for contender in contenders)
    print(f"bench: {rounds} rounds of {names}: {guests} guests, driver {driver}", flush=True)
    lab = _lab(driver)
    with _watching(lab, driver) as watching, GuestPlaces(_cloud(lab).machine) as places:
        cuts = NovaCuts(ground=_ground(lab, places), guests=guests, watching=watching)
        nova_report.print_heads()
        for number in range(1, rounds + 1):
            cuts.place()
            for contender in in_turn(contenders, number):
                known_after_s = hamon.convicted_after_s or SESSION_TIMEOUT_S
                runs.append(cuts.run(number, contender, known_after_s))
                print(nova_report.row(runs[-1]), flush=True)
                cuts.give_back()
    records.remove(lab.layout.lab)


def _measure_many(results: Results) -> None:
    print(f"bench: {MANY} guests on one host", flush=True)
    lab = _lab(Driver.FAKE)
    with GuestPlaces(_cloud(lab).machine) as places:
        cuts = NovaCuts(ground=_ground(lab, places), guests=MANY, watching=None)
        cuts.place()
        before = nova_growth.kept_of(lab)
        results.many.append(cuts.run(1, Hamon(), SESSION_TIMEOUT_S))
        nova_report.print_heads()
        print(nova_report.row(results.many[-1]), flush=True)
        evacuated = nova_growth.kept_of(lab)
        cuts.give_back()
        results.growth = nova_growth.when_over(lab, before, evacuated)
    records.remove(lab.layout.lab)


def in_turn(contenders: Sequence[Contender], number: int) -> list[Contender]:
    """The order of a round, from 1: everybody is the first, and the last, equally often."""
    first = (number - 1) % len(contenders)
    return [*contenders[first:], *contenders[:first]]


def _contenders(hamon: Hamon, driver: Driver) -> list[Contender]:
    """Who takes part: Masakari is compared on real guests."""
    everybody: list[Contender] = [hamon, AT_ONCE, ONE_AFTER_ANOTHER]
    if driver is Driver.LIBVIRT:
        everybody += masakari.profiles()
    by_name = {contender.name.replace(" ", "-"): contender for contender in everybody}
    return [by_name[name] for name in _chosen("CONTENDERS", tuple(by_name))]


def _lab(driver: Driver) -> Lab:
    computes = Computes(driver=driver)
    return Lab.create(NAMES[driver], hosts=HOSTS, backend=Backend.NOVA, computes=computes)


def _cloud(lab: Lab) -> Cloud:
    assert lab.cloud is not None, "made with an OpenStack"
    return lab.cloud


def _ground(lab: Lab, places: GuestPlaces) -> Ground:
    return Ground(lab=lab, cloud=_cloud(lab), places=places, log=EventLog(lab))


def _watching(lab: Lab, driver: Driver) -> AbstractContextManager[Observer | None]:
    return lab.observer() if driver is Driver.LIBVIRT else nullcontext()


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
