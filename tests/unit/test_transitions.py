"""Transition tables: every pair of states is lawful or refused, and the diagrams show it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from itertools import product
from pathlib import Path

import pytest

from hamon.decide.thought import next_record
from hamon.model.diagrams import rendered
from hamon.model.guest import GRANT_TRANSITIONS, OPEN_GRANTS, GrantState
from hamon.model.host import (
    HOST_TRANSITIONS,
    LIVE_STATES,
    SHUT_OUT_STATES,
    HostState,
    IllegalTransitionError,
    check_transition,
)
from hamon.model.incident import MIGRATION_TRANSITIONS, OPEN_MIGRATIONS, MigrationStatus
from hamon.model.reason import reason
from tests.builders import HOST, a_host, a_view

S = HostState
MISSED = {S.SUSPECT, S.PARTITIONED, S.HUNG}
WELL_AGAIN = {S.UP, S.RESTARTED, S.QUARANTINED}
LAWFUL_FOR_HOSTS = {
    S.UP: {*MISSED, S.DEGRADED, S.LEAVING, S.RESTARTED, S.FENCING},
    S.SUSPECT: {S.PARTITIONED, S.HUNG, *WELL_AGAIN, S.LEAVING, S.FENCING},
    S.PARTITIONED: {S.SUSPECT, S.HUNG, *WELL_AGAIN, S.LEAVING, S.FENCING},
    S.HUNG: {S.SUSPECT, S.PARTITIONED, *WELL_AGAIN, S.LEAVING, S.FENCING},
    S.DEGRADED: {S.UP, *MISSED, S.LEAVING, S.RESTARTED, S.FENCING},
    S.LEAVING: {*MISSED, *WELL_AGAIN, S.FENCING},
    S.RESTARTED: {*MISSED, *WELL_AGAIN, S.LEAVING, S.FENCING},
    S.FENCING: {S.FENCED, S.FENCE_FAILED},
    S.FENCE_FAILED: {S.FENCING, S.FENCED, S.RETURNING},
    S.FENCED: {S.EVACUATING, S.FENCING, S.RETURNING},
    S.EVACUATING: {S.EVACUATED, S.FENCING, S.RETURNING},
    S.EVACUATED: {S.RETURNING, S.EVACUATING, S.FENCING},
    S.RETURNING: {S.UP, S.QUARANTINED, S.FENCING},
    S.QUARANTINED: {S.UP, *MISSED, S.LEAVING, S.RESTARTED, S.FENCING},
}
G = GrantState
LAWFUL_FOR_GRANTS = {
    G.OFFERED: {G.OFFERED, G.CLAIMED, G.RELEASED, G.REVOKED},
    G.CLAIMED: {G.CLAIMED, G.RUNNING, G.RELEASED, G.REVOKED},
    G.RUNNING: {G.CLAIMED, G.RUNNING, G.RELEASED, G.REVOKED},
    G.RELEASED: {G.OFFERED, G.REVOKED},
    G.REVOKED: {G.RELEASED, G.OFFERED, G.REVOKED},
}
M = MigrationStatus
LAWFUL_FOR_MIGRATIONS: dict[MigrationStatus, set[MigrationStatus]] = {
    M.WAITING: {M.WAITING, M.ACCEPTED, M.STAYS, M.FAILED},
    M.ACCEPTED: {M.ACCEPTED, M.PRE_MIGRATING, M.DONE, M.WAITING, M.STAYS, M.FAILED},
    M.PRE_MIGRATING: {M.PRE_MIGRATING, M.DONE, M.WAITING, M.FAILED},
    M.DONE: {M.DONE, M.COMPLETED},
    M.COMPLETED: set(),
    M.FAILED: {M.WAITING},
    M.ERROR: set(),
    M.STAYS: set(),
}


@pytest.mark.parametrize(("old", "new"), list(product(HostState, HostState)))
def test_host__each_pair_of_states__is_lawful_or_refused(old: HostState, new: HostState) -> None:
    """A host takes only the steps that are written down; any other one changes nothing."""
    host = a_host(HOST, old)
    why = reason("because", HOST)

    if new in LAWFUL_FOR_HOSTS[old]:
        check_transition(old, new)
        assert new is next_record(a_view(host), host, new, why).state
    else:
        with pytest.raises(IllegalTransitionError, match=f"{old} -> {new}"):
            next_record(a_view(host), host, new, why)


@pytest.mark.parametrize(("old", "new"), list(product(GrantState, GrantState)))
def test_grant__each_pair_of_states__is_lawful_or_not(old: GrantState, new: GrantState) -> None:
    """A right to run is opened by an offer only, and only when it was closed."""
    assert (new in LAWFUL_FOR_GRANTS[old]) == (new in GRANT_TRANSITIONS[old])


@pytest.mark.parametrize(("old", "new"), list(product(MigrationStatus, MigrationStatus)))
def test_migration__each_pair_of_states__is_lawful_or_not(
    old: MigrationStatus, new: MigrationStatus
) -> None:
    """A migration goes Nova's way, and what is closed stays closed."""
    assert (new in LAWFUL_FOR_MIGRATIONS[old]) == (new in MIGRATION_TRANSITIONS[old])


@pytest.mark.parametrize(
    ("states", "table"),
    [
        (HostState, HOST_TRANSITIONS),
        (GrantState, GRANT_TRANSITIONS),
        (MigrationStatus, MIGRATION_TRANSITIONS),
    ],
)
def test_tables__each_state__has_its_row(
    states: type[StrEnum], table: Mapping[StrEnum, frozenset[StrEnum]]
) -> None:
    """A state without a row would end the process when it is met."""
    assert list(states) == list(table)


def test_host__from_life_to_being_shut_out__only_through_fencing() -> None:
    """The right to live is taken by a conviction and given back by a return, nowhere else."""
    into = {new for old in LIVE_STATES for new in HOST_TRANSITIONS[old]} & SHUT_OUT_STATES
    back = {old for old in SHUT_OUT_STATES if HOST_TRANSITIONS[old] & LIVE_STATES}

    assert ({HostState.FENCING}, {HostState.RETURNING}) == (into, back)


def test_host__guests_move__only_after_fenced() -> None:
    """No way leads from fencing to an evacuation past the proof (S2)."""
    before = {old for old in HostState if HostState.EVACUATING in HOST_TRANSITIONS[old]}

    assert {HostState.FENCED, HostState.EVACUATED} == before


def test_grant__closed__opens_by_an_offer_only() -> None:
    """Nobody claims what was not offered (S1)."""
    closed = set(GrantState) - OPEN_GRANTS
    opened = {new for old in closed for new in GRANT_TRANSITIONS[old]} & OPEN_GRANTS

    assert {GrantState.OFFERED} == opened


def test_migration__closed__never_opens_again() -> None:
    """A guest that has to move once more gets another incident, unless it never could move."""
    closed = set(MigrationStatus) - OPEN_MIGRATIONS - {MigrationStatus.FAILED}

    assert not {new for old in closed for new in MIGRATION_TRANSITIONS[old]} & OPEN_MIGRATIONS


def test_diagrams__on_disk__are_drawn_from_the_tables() -> None:
    """The page in docs is what `python -m hamon.model.diagrams` writes from the tables."""
    page = Path(__file__).parents[2] / "docs/states.md"

    assert page.read_text() == rendered(), "run: python -m hamon.model.diagrams > docs/states.md"
