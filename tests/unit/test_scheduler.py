"""The scheduler: which hosts are refused and why, which one wins, and what is counted at once."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hamon.decide.holds import holds
from hamon.evacuator.scheduler import Placement, Scheduler, Wish, load_of
from hamon.model.control import Hold, HoldKind
from hamon.model.guest import GrantState, InventoryEntry, PowerState
from hamon.model.host import HostCapacity, HostState
from hamon.model.names import HostName
from hamon.model.policy import EvacuationPolicy, Policy
from hamon.model.view import HostView
from tests.builders import (
    HOST,
    NEXT_BOOT,
    NOW_S,
    SPARE,
    THIRD,
    a_grant,
    a_guest,
    a_host,
    a_view,
    an_entry,
)

POLICY = EvacuationPolicy()
DEAD = a_host(HOST, HostState.EVACUATING)


def place(
    entry: InventoryEntry,
    *hosts: HostView,
    policy: EvacuationPolicy = POLICY,
    in_force: tuple[Hold, ...] = (),
    target: HostName | None = None,
    force: bool = False,
) -> Placement:
    """Place one guest of the dead host."""
    source = replace(DEAD, inventory={entry.guest: entry})
    wish = Wish(
        guest=entry.guest,
        entry=entry,
        excluded={HOST: "source host"},
        target=target,
        force=force,
    )
    return Scheduler(a_view(source, *hosts), policy, in_force).place(wish)


def offering(name: HostName = SPARE, **parts: object) -> HostView:
    """A host with this capacity."""
    host = a_host(name)
    assert host.capacity is not None
    return replace(host, capacity=replace(host.capacity, **parts))  # type: ignore[arg-type]


# -- filters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "spare", "refusal"),
    [
        (an_entry(ram_mib=7681), a_host(SPARE), "RAM: 7681 MiB wanted, 7680 free"),
        (an_entry(vcpus=33), a_host(SPARE), "vCPU: 33 wanted, 32 free"),
        (an_entry(), offering(architecture="aarch64"), "architecture aarch64"),
        (an_entry(cpu_model="EPYC"), offering(cpu_models=("Haswell",)),
         "CPU model EPYC not usable"),
        (an_entry(networks=("lan", "dmz")), offering(networks=("lan",)), "network dmz not active"),
        (an_entry(pools=("fast",)), offering(pools=("slow",)), "storage pool fast not active"),
        (an_entry(disks=("/srv/guests-old/a.img",)), offering(pool_paths=("/srv/guests",)),
         "disk /srv/guests-old/a.img not reachable"),
        (an_entry(), replace(a_host(SPARE), capacity=None), "libvirt not healthy"),
        (an_entry(), replace(a_host(SPARE), domains=None), "libvirt not healthy"),
        (an_entry(), a_host(SPARE, is_libvirt_healthy=False), "libvirt not healthy"),
        (an_entry(), replace(a_host(SPARE), domains=a_host(SPARE, boot_id=NEXT_BOOT).domains),
         "libvirt not seen in this boot"),
        (an_entry(), a_host(SPARE, is_here=False), "not up (UP)"),
        (an_entry(), a_host(SPARE, None), "not up (never seen)"),
    ],
)  # fmt: skip
def test_place__one_filter_refuses__says_which(
    entry: InventoryEntry, spare: HostView, refusal: str
) -> None:
    """Every filter must pass, and an operator reads which one did not."""
    placement = place(entry, spare)

    assert (None, refusal) == (placement.host, placement.refused[SPARE])
    assert f"{SPARE}: {refusal}" in placement.why_not


@pytest.mark.parametrize(
    ("entry", "spare"),
    [
        (an_entry(ram_mib=7680), a_host(SPARE)),
        (an_entry(vcpus=32), a_host(SPARE)),
        (an_entry(cpu_model="EPYC"), offering(cpu_models=("EPYC", "Haswell"))),
        (an_entry(networks=("lan",)), offering(networks=("lan",))),
        (an_entry(pools=("fast",)), offering(pools=("fast",))),
        (an_entry(disks=("/srv/guests/a.img",)), offering(pool_paths=("/srv/guests",))),
    ],
)  # fmt: skip
def test_place__just_fits__is_placed(entry: InventoryEntry, spare: HostView) -> None:
    """What is wanted to the last MiB, and no more, is there."""
    assert SPARE == place(entry, spare).host


@pytest.mark.parametrize("state", sorted(set(HostState) - {HostState.UP}))
def test_place__host_in_any_state_but_up__is_refused(state: HostState) -> None:
    """Suspected, leaving, restarted, quarantined and dead hosts take no guests (S15)."""
    placement = place(an_entry(), a_host(SPARE, state, is_here=True))

    assert (None, f"not up ({state})") == (placement.host, placement.refused[SPARE])


def test_place__the_source_comes_back_up__is_still_refused() -> None:
    """A guest is never placed on the host it is taken from."""
    placement = place(an_entry(), a_host(HOST))

    assert (None, "source host") == (placement.host, placement.refused[HOST])


def test_place__host_in_maintenance__is_refused() -> None:
    """Who works on a host wants no guests on it."""
    in_force = (Hold(kind=HoldKind.MAINTENANCE, scope=SPARE, reason="disks"),)

    assert (
        "held (maintenance)" == place(an_entry(), a_host(SPARE), in_force=in_force).refused[SPARE]
    )


def test_place__two_copies_of_the_guest__it_is_placed_nowhere() -> None:
    """A guest that runs twice already is not started a third time (S1)."""
    in_force = (Hold(kind=HoldKind.TWO_COPIES, scope=a_guest(), reason="runs on a and b"),)

    assert place(an_entry(), a_host(SPARE), in_force=in_force).host is None


def test_place__in_flight_limit_of_the_destination__is_refused() -> None:
    """A destination rebuilds only so many guests at once (B1)."""
    grants = {a_guest(n): a_grant(GrantState.OFFERED) for n in (7, 8)}
    spare = replace(a_host(SPARE), grants=grants)
    policy = replace(POLICY, in_flight_per_destination_max=2)

    assert "in-flight limit" == place(an_entry(), spare, policy=policy).refused[SPARE]


@pytest.mark.parametrize("state", list(GrantState))
def test_load__grants__only_those_on_their_way_count_as_arriving(state: GrantState) -> None:
    """Offered and claimed guests occupy room that libvirt does not show yet."""
    spare = replace(a_host(SPARE), grants={a_guest(): a_grant(state)})
    source = a_host(entries=[an_entry(ram_mib=1000, vcpus=3, anti_affinity="db")])

    load = load_of(a_view(source, spare), spare)

    if state in {GrantState.OFFERED, GrantState.CLAIMED}:
        expected = (1, 1000, 3, frozenset({"db"}))
    else:
        expected = (0, 0, 0, frozenset())
    assert expected == (load.arriving, load.ram_mib, load.vcpus, load.groups)


def test_load__guest_wanted_off__takes_no_room() -> None:
    """Nova counts what is to run; so does hamon."""
    spare = a_host(SPARE, entries=[an_entry(1, wanted=PowerState.SHUTOFF), an_entry(2)])

    assert 256 == load_of(a_view(spare), spare).ram_mib


def test_load__listed_and_on_its_way__is_counted_once() -> None:
    """A guest that its destination defines already is not counted twice."""
    spare = replace(
        a_host(SPARE, entries=[an_entry()]), grants={a_guest(): a_grant(GrantState.CLAIMED)}
    )

    assert 256 == load_of(a_view(spare), spare).ram_mib


# -- a given target -------------------------------------------------------------------------------


def test_place__given_target__only_that_one_is_considered() -> None:
    """A given host is validated by the scheduler, and no other one is taken instead."""
    small = a_host(THIRD, ram_mib=600)

    assert THIRD == place(an_entry(ram_mib=80), a_host(SPARE), small, target=THIRD).host
    assert place(an_entry(ram_mib=90), a_host(SPARE), small, target=THIRD).host is None


def test_place__given_target_unknown__is_compute_host_not_found() -> None:
    """The refusal has Nova's name."""
    placement = place(an_entry(), a_host(SPARE), target=HostName("nowhere"))

    assert (None, {"nowhere": "ComputeHostNotFound"}) == (placement.host, dict(placement.refused))


def test_place__forced__skips_the_filters_but_not_life() -> None:
    """Force has only Nova's meaning: no filters; source, dead and held hosts stay out."""
    big = an_entry(ram_mib=99_999)
    held = (Hold(kind=HoldKind.MAINTENANCE, scope=SPARE, reason="disks"),)
    gone = a_host(SPARE, is_here=False)

    assert SPARE == place(big, a_host(SPARE), target=SPARE, force=True).host
    assert place(big, gone, target=SPARE, force=True).host is None
    assert place(big, a_host(HOST), target=HOST, force=True).host is None
    assert place(big, a_host(SPARE), target=SPARE, force=True, in_force=held).host is None


# -- weighers and the batch -----------------------------------------------------------------------


def test_place__two_fit__the_one_with_more_free_ram_wins() -> None:
    """Guests spread by free RAM."""
    assert SPARE == place(an_entry(), a_host(SPARE), a_host(THIRD, ram_mib=4096)).host
    assert THIRD == place(an_entry(), a_host(SPARE, ram_mib=4096), a_host(THIRD)).host


def test_place__same_view__same_place() -> None:
    """Placement has no dice: two controllers that see the same decide the same."""
    hosts = (a_host(SPARE), a_host(THIRD))

    assert place(an_entry(), *hosts) == place(an_entry(), *reversed(hosts))


def test_place__anti_affinity__holds_within_the_batch() -> None:
    """Two members of a group, placed in one round, do not meet."""
    entries = [an_entry(n, anti_affinity="db") for n in (1, 2, 3)]
    view = a_view(a_host(HOST, HostState.EVACUATING, entries=entries), a_host(SPARE), a_host(THIRD))
    scheduler = Scheduler(view, POLICY, ())

    placed = [scheduler.place(Wish(guest=e.guest, entry=e, excluded={})) for e in entries]

    assert {SPARE, THIRD, None} == {placement.host for placement in placed}
    assert "anti-affinity db" in placed[-1].why_not


ENTRIES = st.builds(
    an_entry,
    st.just(1),
    ram_mib=st.integers(1, 3000),
    vcpus=st.integers(1, 16),
    anti_affinity=st.sampled_from(["", "db", "web"]),
)
HOSTS = st.builds(
    a_host,
    st.just(HOST),
    st.sampled_from([None, *HostState, *[HostState.UP] * 12]),
    is_here=st.sampled_from([True, True, True, False]),
    is_libvirt_healthy=st.sampled_from([True, True, True, False]),
    ram_mib=st.integers(512, 8192),
    vcpus=st.integers(1, 8),
)


@given(
    st.lists(ENTRIES, min_size=1, max_size=12),
    st.lists(HOSTS, min_size=1, max_size=5),
    st.integers(0, 4),
)
def test_place__whole_batch__never_on_source_held_or_down_and_never_beyond_capacity(
    entries: list[InventoryEntry], shapes: list[HostView], held_number: int
) -> None:
    """Nothing lands where it must not, and no host is given more than it has."""
    guests = [replace(e, guest=a_guest(n), name=f"g{n}") for n, e in enumerate(entries, start=1)]
    hosts = [
        replace(host, spec=replace(host.spec, name=HostName(f"host-{n}")))
        for n, host in enumerate(shapes, start=2)
    ]
    source = a_host(HOST, HostState.UP, entries=guests)
    view = a_view(source, *hosts, maintenance=[HostName(f"host-{held_number}")])
    scheduler = Scheduler(view, POLICY, holds(view, Policy(), NOW_S))

    placed: dict[HostName, list[InventoryEntry]] = {}
    for entry in guests:
        wish = Wish(guest=entry.guest, entry=entry, excluded={HOST: "source host"})
        placement = scheduler.place(wish)
        if placement.host is None:
            assert set(placement.refused) == set(view.hosts)
        else:
            placed.setdefault(placement.host, []).append(entry)

    for name, arrived in placed.items():
        host = view.hosts[name]
        record, capacity = host.record.value, host.capacity
        assert name not in {HOST, f"host-{held_number}"}
        assert record is not None
        assert (HostState.UP, True) == (record.state, host.heartbeat is not None)
        assert isinstance(capacity, HostCapacity)
        assert sum(e.ram_mib for e in arrived) <= capacity.ram_mib - POLICY.reserved_ram_mib
        assert sum(e.vcpus for e in arrived) <= capacity.vcpus * POLICY.cpu_allocation_ratio
        assert len(arrived) <= POLICY.in_flight_per_destination_max
        groups = [e.anti_affinity for e in arrived if e.anti_affinity]
        assert len(set(groups)) == len(groups)
