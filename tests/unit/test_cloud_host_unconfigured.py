"""A host that was taken out of hosts.d while its incident is open."""

from dataclasses import replace

import pytest

from hamon.decide.tick import decide
from hamon.model.incident import MigrationStatus
from hamon.model.policy import Policy
from tests.builders import HOST, NOW_S, SPARE, a_migration
from tests.cloud_builders import a_cloud, a_cloud_view, a_server


@pytest.mark.parametrize("status", [MigrationStatus.WAITING, MigrationStatus.ACCEPTED])
def test_decide__host_of_an_open_incident_not_configured__is_said_and_breaks_nothing(
    status: MigrationStatus,
) -> None:
    """`hamon host remove` asks for that first; every other host is still looked after."""
    view = a_cloud_view(a_cloud([a_server()]), migrations=[a_migration(status=status)])
    view = replace(view, hosts={SPARE: view.hosts[SPARE]})

    decision = decide(view, Policy(), NOW_S)

    [told] = [reason for reason in decision.reasons if reason.code == "host_not_configured"]
    assert HOST == told.subject
