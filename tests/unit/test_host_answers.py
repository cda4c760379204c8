"""What the command line is told of one host: what it may say before the leader is asked."""

from hamon.decide.naming import NAMED_MAX
from hamon.engine.host_answers import named_guests
from hamon.model.host import HostState
from hamon.model.incident import MigrationStatus
from tests.agentless_builders import an_agentless_host, of_no_boot
from tests.builders import (
    HOST,
    SPARE,
    a_guest,
    a_host,
    a_lost_host,
    a_migration,
    a_view,
    an_incident,
)

NAMED = tuple(a_guest(number) for number in range(NAMED_MAX))


def test_named_guests__incident_that_can_be_joined__are_told() -> None:
    """One more of them is one too many, and the command line can say so."""
    host = a_lost_host(HOST, HostState.FENCING)
    view = a_view(host, a_host(SPARE), incidents=[an_incident(only=NAMED)])

    assert [*NAMED] == named_guests(view, host)
    assert [] == named_guests(view, view.hosts[SPARE])


def test_named_guests__lost_again_on_its_way_back__are_of_an_incident_that_nobody_joins() -> None:
    """The next command opens another incident, in which none is named yet."""
    host = an_agentless_host(HostState.RETURNING)
    former = of_no_boot(a_migration(1, MigrationStatus.STAYS), only=NAMED)

    assert [] == named_guests(a_view(host, a_host(SPARE), incidents=[former]), host)
