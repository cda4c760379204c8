"""What the issue wants to be reached, judged from the medians of one benchmark."""

from collections.abc import Sequence

from bench import footprint
from bench.contenders.posting import AT_ONCE, ONE_AFTER_ANOTHER
from bench.nova_measured import (
    CALLS_LIMIT,
    DEFAULT_SPEED_UP,
    LOGINS_LIMIT,
    RATIO_LIMIT,
    Growth,
    Run,
    Verdict,
    medians,
)
from lab.hamon_files import INCIDENTS_KEPT

HAMON, MASAKARI, TUNED = "hamon", "masakari", "masakari tuned"
ZNODES_A_GUEST_MAX = 3
"""Its migration, what keeps it from starting at its source, and its record while it moves."""

LEFT_MAX = INCIDENTS_KEPT * (3 + 8)
"""Znodes that may be left when all is over, however many incidents there were: those that the lab's
hamon remembers, each with the migrations of eight guests."""


def of_speed(runs: Sequence[Run], what: str) -> list[Verdict]:
    """Judge how long it took from the proof to the last guest, against the best way without proof.

    Args:
        runs: of one form of the lab.
        what: guests they were about, in words.
    """
    names = {AT_ONCE.name, ONE_AFTER_ANOTHER.name} & {run.contender for run in runs}
    own = medians(runs, lambda run: run.from_proof_s).get(HAMON)
    if not names or HAMON not in {run.contender for run in runs}:
        return []
    text = f"{what}, proof to last active, at most {RATIO_LIMIT:g} × the best"
    if own is None:
        return [Verdict(is_reached=False, text=f"{text}: not in every run of hamon all were")]
    # The runs in which a rival left guests behind do not make it slower: they are not counted.
    finished = [run for run in runs if run.contender in names and run.active_s is not None]
    rivals = {
        name: s for name, s in medians(finished, lambda r: r.from_proof_s).items() if s is not None
    }
    if not rivals:
        return [Verdict(is_reached=False, text=f"{text}: {own:.1f} s, and no rival moved all")]
    best = min(rivals, key=lambda name: rivals[name])
    ratio = own / rivals[best]
    compared = f"{own:.1f} s to {rivals[best]:.1f} s ({best}), {ratio:.2f} ×"
    return [Verdict(is_reached=ratio <= RATIO_LIMIT, text=f"{text}: {compared}")]


def of_start(runs: Sequence[Run]) -> list[Verdict]:
    """Judge how soon Nova was first asked after the cut, against Masakari."""
    found = medians(runs, lambda run: run.first_s)
    own = found.get(HAMON)
    verdicts = []
    for name, times in ((MASAKARI, DEFAULT_SPEED_UP), (TUNED, 1.0)):
        if name not in found or HAMON not in found:
            continue
        theirs = found[name]
        text = f"cut to first evacuate, {times:g} × sooner than {name}"
        if own is None or theirs is None:
            verdicts.append(Verdict(is_reached=False, text=f"{text}: some never asked"))
            continue
        compared = f"{own:.1f} s to {theirs:.1f} s, {theirs / own:.1f} ×"
        verdicts.append(Verdict(is_reached=own * times <= theirs, text=f"{text}: {compared}"))
    return verdicts


def of_calls(runs: Sequence[Run]) -> list[Verdict]:
    """Judge what many guests on one host cost OpenStack."""
    verdicts = []
    for run in runs:
        is_confirmed = run.confirmed_s is not None
        text = (
            f"{run.guests} guests, requests a guest at most {CALLS_LIMIT:g}: "
            f"{run.calls_a_guest:.2f} ({run.calls.all} in all); "
            f"logins at most {LOGINS_LIMIT}: {run.calls.logins}"
        )
        is_cheap = run.calls_a_guest <= CALLS_LIMIT and run.calls.logins <= LOGINS_LIMIT
        verdicts.append(Verdict(is_reached=is_confirmed and is_cheap, text=text))
    return verdicts


def of_faults(runs: Sequence[Run]) -> list[Verdict]:
    """Judge whether each guest that hamon was to move ended where it should."""
    own = [run for run in runs if run.contender == HAMON]
    if not own:
        return []
    found = [f"round {run.number} of {run.guests}: {f}" for run in own for f in run.faults]
    moved = sum(run.guests for run in own)
    text = f"{moved} guests moved by hamon, none lost, double or stuck"
    return [Verdict(is_reached=not found, text=f"{text}{': ' if found else ''}{'; '.join(found)}")]


def of_journal(growth: Growth | None) -> list[Verdict]:
    """Judge what hamon holds of many guests while their host is dead."""
    if growth is None:
        return []
    before, after = growth.before, growth.after
    text = (
        f"{growth.guests} guests evacuated, at most {ZNODES_A_GUEST_MAX} znodes a guest: "
        f"{before.znodes} before, {after.znodes} after, {after.data_kib - before.data_kib:.0f} KiB"
    )
    is_bounded = growth.znodes <= ZNODES_A_GUEST_MAX * growth.guests
    return [Verdict(is_reached=is_bounded, text=text), _of_memory(growth)]


def of_oblivion(growth: Growth | None) -> list[Verdict]:
    """Judge what is left when every host serves again and every incident is old."""
    if growth is None:
        return []
    text = (
        f"{growth.guests} evacuations over, at most {LEFT_MAX} znodes left "
        f"(the last {INCIDENTS_KEPT} incidents): "
        f"{growth.before.znodes} before, {growth.after.znodes} after"
    )
    return [Verdict(is_reached=growth.znodes <= LEFT_MAX, text=text), _of_memory(growth)]


def _of_memory(growth: Growth) -> Verdict:
    limit, after = footprint.DAEMON_LIMIT_MIB, growth.after.leader_mib
    text = (
        f"memory of the leader at most {limit:g} MiB: "
        f"{growth.before.leader_mib:.1f} before, {after:.1f} after {growth.guests} guests"
    )
    return Verdict(is_reached=after <= limit, text=text)
