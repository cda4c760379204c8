"""Ownership: adoption, following operators, and retirement, while hosts are well."""

from dataclasses import replace
from typing import Any

import pytest

from hamon.decide.ownership import is_listing_sound, think_ownership, think_retirement
from hamon.decide.thought import Thought
from hamon.model.change import Versioned, grant_of, guard_of, guest_of, self_of
from hamon.model.guest import Grant, GrantState, GuestRecord, NotMovable, PowerState
from hamon.model.host import DomainState, HostState
from hamon.model.names import GuestId
from hamon.model.view import ClusterView, HostView
from tests.builders import (
    BOOT,
    GRANT_VERSION,
    GUARD_VERSION,
    GUEST_VERSION,
    HOST,
    INCIDENT,
    NEXT_BOOT,
    SELF_VERSION,
    SPARE,
    a_grant,
    a_guest,
    a_host,
    a_view,
    an_entry,
    owned_by,
)
from tests.decisions import checks, writes

GUEST = a_guest()
Guests = dict[GuestId, Versioned[GuestRecord]]


def thought(view: ClusterView, host: HostView) -> Thought:
    """What is thought of a host's guests."""
    return think_ownership(view, host)


# -- adoption -------------------------------------------------------------------------------------


def test_adoption__protected_guest_without_record__is_the_hosts() -> None:
    """A guest nobody owns belongs to the host that defines it, which is offered its right."""
    host = a_host(entries=[an_entry(wanted=PowerState.SHUTOFF)])

    (change,) = thought(a_view(host, guests={}), host).changes

    written = writes(change)
    assert written[guest_of(GUEST)] == GuestRecord(
        name="guest-1", owner=HOST, generation=1, wanted=PowerState.SHUTOFF
    )
    assert written[grant_of(HOST, GUEST)] == Grant(
        state=GrantState.OFFERED, generation=1, wanted=PowerState.SHUTOFF, boot_id=BOOT
    )
    assert {guard_of(HOST): GUARD_VERSION, self_of(HOST): SELF_VERSION} == checks(change)


def test_adoption__retired_before__gets_the_next_generation() -> None:
    """Generations only grow, also over a retirement."""
    host = a_host(entries=[an_entry()], grants={GUEST: a_grant(GrantState.RELEASED)})

    (change,) = thought(a_view(host, guests={GUEST: owned_by(None, generation=4)}), host).changes

    grant = writes(change)[grant_of(HOST, GUEST)]
    assert isinstance(grant, Grant)
    assert 5 == grant.generation
    assert (GRANT_VERSION, GUEST_VERSION + 100) == (
        checks(change)[grant_of(HOST, GUEST)],
        checks(change)[guest_of(GUEST)],
    )


@pytest.mark.parametrize(
    ("case", "host"),
    [
        ("not protected", a_host(entries=[an_entry(not_movable=(NotMovable.OPTED_OUT,))])),
        ("never recorded", a_host(HOST, None, is_here=True, entries=[an_entry()])),
        ("suspect", a_host(HOST, HostState.SUSPECT, is_here=True, entries=[an_entry()])),
        ("leaving", a_host(HOST, HostState.LEAVING, is_here=True, entries=[an_entry()])),
        ("returning",
         a_host(HOST, HostState.RETURNING, is_here=True, boot_id=NEXT_BOOT, entries=[an_entry()])),
        ("session gone", a_host(is_here=False, entries=[an_entry()])),
        ("libvirt sick", a_host(is_libvirt_healthy=False, entries=[an_entry()])),
        ("listing of another boot",
         replace(a_host(entries=[an_entry()]), domains=a_host(boot_id=NEXT_BOOT).domains)),
        ("no listing", replace(a_host(entries=[an_entry()]), domains=None)),
        ("definition lost", a_host(entries=[an_entry()], domains={})),
    ],
)  # fmt: skip
def test_adoption__host_not_sound__waits(case: str, host: HostView) -> None:
    """Nothing is given to a host whose words are not of its present, living boot."""
    assert () == thought(a_view(host, guests={}), host).changes, case


@pytest.mark.parametrize("state", [HostState.UP, HostState.RESTARTED, HostState.QUARANTINED])
def test_adoption__settled_states__adopt(state: HostState) -> None:
    """A host that serves, or will again, owns what it defines."""
    host = a_host(HOST, state, entries=[an_entry()])

    assert 1 == len(thought(a_view(host, guests={}), host).changes)


@pytest.mark.parametrize(
    ("case", "grant", "is_renewed"),
    [
        ("offered to an earlier boot", a_grant(GrantState.OFFERED, boot_id=NEXT_BOOT), True),
        ("offered to this boot", a_grant(GrantState.OFFERED), False),
        ("claimed by an earlier boot", a_grant(GrantState.CLAIMED, boot_id=NEXT_BOOT), False),
        ("settled by an earlier boot", a_grant(GrantState.RUNNING, boot_id=NEXT_BOOT), False),
    ],
)
def test_offer__host_rebooted_before_it_claimed__is_bound_to_the_new_boot(
    case: str, grant: Versioned[Grant], *, is_renewed: bool
) -> None:
    """An offer that no boot can claim any more is made again; a claim goes on by itself."""
    host = a_host(entries=[an_entry()], grants={GUEST: grant})

    changes = thought(a_view(host), host).changes

    assert is_renewed == bool(changes), case
    if is_renewed:
        renewed = writes(*changes)[grant_of(HOST, GUEST)]
        assert isinstance(renewed, Grant)
        assert (GrantState.OFFERED, BOOT, 1) == (
            renewed.state,
            renewed.boot_id,
            renewed.generation,
        )


def test_offer__guest_in_an_evacuation__is_left_to_it() -> None:
    """What an incident moves is the incident's matter."""
    host = a_host(
        entries=[an_entry()], grants={GUEST: a_grant(GrantState.OFFERED, boot_id=NEXT_BOOT)}
    )
    view = a_view(host, guests={GUEST: owned_by(HOST, migration=INCIDENT)})

    assert () == thought(view, host).changes


# -- following operators --------------------------------------------------------------------------


def moved(former: HostView, **others: Any) -> tuple[ClusterView, HostView]:  # noqa: ANN401
    """The guest runs on the spare host; its owner is the other one."""
    here = a_host(SPARE, boot_id=NEXT_BOOT, entries=[an_entry()], **others)
    return a_view(here, former, guests={GUEST: owned_by(HOST)}), here


def test_live_migration__seen_here_and_not_there__is_followed() -> None:
    """Ownership follows what operators do with virsh; the former right ends in the same write."""
    view, here = moved(a_host(grants={GUEST: a_grant()}))

    (change,) = thought(view, here).changes

    written = writes(change)
    owned, new = written[guest_of(GUEST)], written[grant_of(SPARE, GUEST)]
    former = written[grant_of(HOST, GUEST)]
    assert isinstance(owned, GuestRecord)
    assert isinstance(new, Grant)
    assert isinstance(former, Grant)
    assert (SPARE, 2) == (owned.owner, owned.generation)
    assert (GrantState.OFFERED, 2, NEXT_BOOT) == (new.state, new.generation, new.boot_id)
    assert GrantState.RELEASED is former.state
    assert {
        guard_of(SPARE): GUARD_VERSION,
        guard_of(HOST): GUARD_VERSION,
        guest_of(GUEST): GUEST_VERSION + 100,
        grant_of(HOST, GUEST): GRANT_VERSION,
    } == checks(change)


@pytest.mark.parametrize("state", [GrantState.REVOKED, GrantState.RELEASED])
def test_live_migration__former_right_closed_already__is_left(state: GrantState) -> None:
    """Only an open right has to end."""
    view, here = moved(a_host(grants={GUEST: a_grant(state)}))

    (change,) = thought(view, here).changes

    assert grant_of(HOST, GUEST) not in writes(change)


@pytest.mark.parametrize(
    ("case", "former", "code"),
    [
        ("runs on both", a_host(domains={GUEST: DomainState.RUNNING}), "two_running_copies"),
        ("paused there", a_host(domains={GUEST: DomainState.PAUSED}), None),
        ("owner's libvirt sick", a_host(is_libvirt_healthy=False), "ownership_unclear"),
        ("owner gone", a_host(is_here=False), "ownership_unclear"),
        ("owner shut out", a_host(HOST, HostState.FENCING, is_here=True), "ownership_unclear"),
        ("owner not enrolled", a_host(SPARE), "ownership_unclear"),
    ],
)
def test_live_migration__not_clear__nothing_is_done_and_it_is_said(
    case: str, former: HostView, code: str | None
) -> None:
    """Two copies, or an owner that cannot be asked: an alert, never a guess (S1)."""
    here = a_host(SPARE, boot_id=NEXT_BOOT, entries=[an_entry()])
    hosts = (here,) if former.name == SPARE else (here, former)
    found = thought(a_view(*hosts, guests={GUEST: owned_by(HOST)}), here)

    assert () == found.changes, case
    assert ([code] if code else []) == [reason.code for reason in found.reasons]


@pytest.mark.parametrize("state", sorted(set(DomainState) - {DomainState.RUNNING}))
def test_live_migration__only_defined_here__is_not_followed(state: DomainState) -> None:
    """A copy that does not run changes nothing."""
    view, here = moved(a_host(), domains={GUEST: state})

    assert ((), ()) == (thought(view, here).changes, thought(view, here).reasons)


def test_live_migration__guest_in_an_evacuation__is_not_followed() -> None:
    """What an incident moves is the incident's matter."""
    here = a_host(SPARE, entries=[an_entry()])
    view = a_view(here, a_host(), guests={GUEST: owned_by(HOST, migration=INCIDENT)})

    assert () == thought(view, here).changes


# -- retirement -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "host", "owned", "is_retired"),
    [
        ("gone", a_host(grants={GUEST: a_grant()}), owned_by(HOST), True),
        ("no longer protected", a_host(entries=[an_entry(not_movable=(NotMovable.OPTED_OUT,))]),
         owned_by(HOST), True),
        ("defined", a_host(entries=[an_entry()]), owned_by(HOST), False),
        ("still listed", a_host(domains={GUEST: DomainState.SHUTOFF}), owned_by(HOST), False),
        ("still in the inventory", a_host(entries=[an_entry()], domains={}), owned_by(HOST),
         False),
        ("in an evacuation", a_host(), owned_by(HOST, migration=INCIDENT), False),
        ("retired already", a_host(), owned_by(None), False),
        ("libvirt sick", a_host(is_libvirt_healthy=False), owned_by(HOST), False),
        ("suspect", a_host(HOST, HostState.SUSPECT, is_here=True), owned_by(HOST), False),
        ("dead", a_host(HOST, HostState.EVACUATING), owned_by(HOST), False),
        ("owner not enrolled", a_host(SPARE), owned_by(HOST), False),
    ],
)  # fmt: skip
def test_retirement__by_table__needs_a_sound_listing_without_the_guest(
    case: str, host: HostView, owned: Versioned[GuestRecord], *, is_retired: bool
) -> None:
    """A guest is let go only when its owner's healthy libvirt neither lists nor defines it."""
    changes = think_retirement(a_view(host, guests={GUEST: owned})).changes

    assert is_retired == bool(changes), case


def test_retirement__its_transaction__ends_owner_and_right_together() -> None:
    """The record stays, without owner; the right is released, at exact versions."""
    host = a_host(grants={GUEST: a_grant()})

    (change,) = think_retirement(a_view(host, guests={GUEST: owned_by(HOST)})).changes

    owned, grant = writes(change)[guest_of(GUEST)], writes(change)[grant_of(HOST, GUEST)]
    assert isinstance(owned, GuestRecord)
    assert isinstance(grant, Grant)
    assert (None, GrantState.RELEASED) == (owned.owner, grant.state)
    assert {
        guard_of(HOST): GUARD_VERSION,
        guest_of(GUEST): GUEST_VERSION + 100,
        grant_of(HOST, GUEST): GRANT_VERSION,
    } == checks(change)


def test_sound_listing__well_host__is_sound() -> None:
    """The other tests differ from this one in one thing each."""
    assert is_listing_sound(a_host())
