"""What was said of a guest joined to one policy: the more exact wins, and nothing is guessed."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hamon.evacuator.choices import (
    Place,
    joined_policy,
    policy_of_entry,
    told_choices,
    wanted_after,
)
from hamon.model.guest import PowerState
from hamon.model.guest_policy import (
    EVACUATE,
    PRIORITY,
    READY,
    READY_ADDRESS,
    READY_TIMEOUT,
    RESTART,
    GuestPolicy,
    ReadyCheck,
    Restart,
)
from hamon.model.incident import MigrationStatus
from hamon.model.policy import EvacuationPolicy, GuestsPolicy
from tests.builders import a_migration, an_entry, an_incident

POLICY = EvacuationPolicy(ready_networks=("192.0.2.0/24", "2001:db8::/32"))
TAGGED = replace(POLICY, guests=GuestsPolicy.TAGGED)


def said(**places: dict[str, str]) -> tuple[Place, ...]:
    """Places in their order, the most exact first."""
    return tuple(Place(name=name, said=words) for name, words in places.items())


def test_joined__nothing_said__is_the_default() -> None:
    """A guest of whom nobody says anything is evacuated, in the middle class, as it ran."""
    assert GuestPolicy() == joined_policy((), POLICY)


def test_joined__several_places__the_more_exact_wins_key_by_key() -> None:
    """A flavor's priority holds beside a server's own choice of restart."""
    places = said(
        server={RESTART: "always"},
        flavor={PRIORITY: "10", RESTART: "never"},
        aggregate={PRIORITY: "500", EVACUATE: "false"},
    )

    known = joined_policy(places, POLICY)

    assert (10, Restart.ALWAYS) == (known.priority, known.restart)
    assert "aggregate hamon:evacuate=false" == known.opted_out


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (PRIORITY, "high"),
        (PRIORITY, "-1"),
        (PRIORITY, "1000000"),
        (PRIORITY, "٣"),
        (RESTART, "sometimes"),
        (EVACUATE, "maybe"),
        ("HA_Enabled", ""),
        ("evacuable", "2"),
        (READY, "guest_agent:1"),
        (READY, "tcp:0"),
        (READY, "tcp:65536"),
        (READY, "tcp:"),
        (READY, "udp:53"),
        (READY_TIMEOUT, "0"),
        (READY_TIMEOUT, "nan"),
        (READY_TIMEOUT, "inf"),
        (READY_TIMEOUT, "3601"),
        (READY_ADDRESS, "web-1"),
    ],
)
def test_joined__value_makes_no_sense__counts_as_not_said_and_is_told(key: str, value: str) -> None:
    """Nothing is guessed at; what a less exact place says holds, else the default."""
    known = joined_policy(said(server={key: value}), POLICY)

    [why] = known.refused
    assert why.startswith(f"server {key.lower()}={value!r}:")
    assert GuestPolicy() == replace(known, refused=())


def test_joined__senseless_word_on_a_server__lets_the_flavors_hold() -> None:
    """An opt-out of the flavor's is not lifted by a spelling mistake."""
    places = said(server={EVACUATE: "ture"}, flavor={EVACUATE: "false"})

    assert "flavor hamon:evacuate=false" == joined_policy(places, POLICY).opted_out


@pytest.mark.parametrize(
    ("place", "is_evacuated"),
    [
        (Place(name="server", said={"HA_Enabled": "True"}), True),
        (Place(name="server", said={"HA_Enabled": "False"}), False),
        (Place(name="flavor", said={"evacuable": "true"}), True),
        (Place(name="flavor", said={"trait:evacuable": "true"}), True),
        (Place(name="image", tags=frozenset({"evacuable"})), True),
        (Place(name="server", said={EVACUATE: "false", "HA_Enabled": "True"}), False),
        (Place(name="server", said={EVACUATE: "yes"}), True),
        (Place(name="server", said={"name": "evacuable"}), False),
    ],
)
def test_joined__only_tagged_guests__those_of_masakari_and_instanceha_count(
    place: Place, *, is_evacuated: bool
) -> None:
    """Who is not marked stays, and that is said."""
    assert is_evacuated is not joined_policy((place,), TAGGED).is_opted_out


def test_joined__all_guests__opt_out_of_masakari_counts() -> None:
    """A guest that was kept out of Masakari is kept out of hamon."""
    known = joined_policy(said(server={"HA_Enabled": "False"}), POLICY)

    assert "server ha_enabled=False" == known.opted_out


@pytest.mark.parametrize(
    ("address", "fits"),
    [("192.0.2.7", True), ("2001:db8::7", True), ("198.51.100.7", False), ("", False)],
)
def test_joined__wait_for_ready__only_where_the_operator_lets_probe(
    address: str, *, fits: bool
) -> None:
    """Tenants write metadata: the leader connects to no address but those."""
    words = {READY: "tcp:22", READY_TIMEOUT: "60"} | ({READY_ADDRESS: address} if address else {})

    known = joined_policy(said(server=words), POLICY)

    if fits:
        assert (ReadyCheck.TCP, address, 22, 60.0) == (
            known.ready,
            known.ready_address,
            known.ready_port,
            known.ready_timeout_s,
        )
    else:
        assert (ReadyCheck.NONE, 1) == (known.ready, len(known.refused))


def test_joined__wait_for_the_agent__needs_no_address_and_no_network() -> None:
    """The leader connects to nothing for it; an address that is there is of no use."""
    words = {READY: "Guest_Agent", READY_ADDRESS: "198.51.100.7", READY_TIMEOUT: "60"}

    known = joined_policy(said(server=words), EvacuationPolicy())

    expected = GuestPolicy(ready=ReadyCheck.GUEST_AGENT, ready_timeout_s=60.0)
    assert expected == known


def test_joined__wait_longer_than_the_cluster_allows__is_cut() -> None:
    """No tenant can hold the others up for longer."""
    words = {READY: "tcp:22", READY_ADDRESS: "192.0.2.7", READY_TIMEOUT: "3600"}

    assert 300.0 == joined_policy(said(server=words), POLICY).ready_timeout_s


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(
                [PRIORITY, RESTART, EVACUATE, READY, READY_ADDRESS, READY_TIMEOUT, "HA_Enabled"]
            ),
            st.text(max_size=40),
        ),
        max_size=4,
    ),
    st.sampled_from(GuestsPolicy),
)
def test_joined__any_words__is_a_policy_within_its_bounds(
    words: list[dict[str, str]], guests: GuestsPolicy
) -> None:
    """Whatever somebody writes there: never an error, never out of range."""
    places = [Place(name=str(number), said=said_) for number, said_ in enumerate(words)]

    known = joined_policy(places, replace(POLICY, guests=guests))

    assert 0 <= known.priority <= 999_999
    assert 0 < known.ready_timeout_s <= POLICY.ready_wait_max_s
    assert (known.ready is ReadyCheck.TCP) == bool(known.ready_address)


@pytest.mark.parametrize(
    ("restart", "before", "after"),
    [
        (Restart.IF_RAN, PowerState.RUNNING, PowerState.RUNNING),
        (Restart.IF_RAN, PowerState.SHUTOFF, PowerState.SHUTOFF),
        (Restart.ALWAYS, PowerState.SHUTOFF, PowerState.RUNNING),
        (Restart.NEVER, PowerState.RUNNING, PowerState.SHUTOFF),
    ],
)
def test_wanted__by_restart(restart: Restart, before: PowerState, after: PowerState) -> None:
    """The power state a guest ends in."""
    assert after is wanted_after(GuestPolicy(restart=restart), before)


def test_entry__of_libvirt__says_its_choices_in_its_metadata() -> None:
    """The same keys, judged by the same rules."""
    entry = an_entry(choices={PRIORITY: "5", EVACUATE: "no"})

    known = policy_of_entry(entry, POLICY)

    assert (5, "domain metadata hamon:evacuate=no") == (known.priority, known.opted_out)


@pytest.mark.parametrize(
    ("status", "by_hand", "codes"),
    [
        (MigrationStatus.FAILED, False, ["guest_opted_out"]),
        (MigrationStatus.FAILED, True, []),
        (MigrationStatus.WAITING, True, ["guest_choice_refused"]),
        (MigrationStatus.DONE, False, []),
    ],
)
def test_told__as_long_as_it_matters(
    status: MigrationStatus, codes: list[str], *, by_hand: bool
) -> None:
    """Who stays is said each round, and what does not count until the guest has moved."""
    known = GuestPolicy(opted_out="flavor hamon:evacuate=false", refused=("server x='y': no",))
    incident = an_incident(a_migration(1, status, policy=known, by_hand=by_hand))

    assert codes == [told.code for told in told_choices(incident)]
