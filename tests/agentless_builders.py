"""Worlds with a host that has no agent, for the tests of what becomes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hamon.decide.tick import decide
from hamon.model.change import Decision
from hamon.model.cloud import CloudView, ComputeService
from hamon.model.host import HostState
from hamon.model.policy import Policy
from hamon.model.view import ClusterView, HostView, IncidentView
from tests.builders import HOST, NOW_S, SELF_VERSION, SPARE, a_host, a_view, an_incident, at
from tests.cloud_builders import a_cloud, a_service
from tests.decisions import assert_sound

POLICY = Policy()

UP = a_service(HOST, beat_at="2026-01-01T00:00:00")
DOWN = replace(UP, is_up=False)
FORCED = replace(DOWN, is_forced_down=True)
CELL_DOWN = replace(UP, is_up=None)


def cloud_with(service: ComputeService | None, **others: Any) -> CloudView:  # noqa: ANN401
    """A cloud that says this of the host's nova-compute."""
    services = {SPARE: a_service(SPARE)} | ({HOST: service} if service is not None else {})
    return a_cloud(services=services, **others)


def world(
    host: HostView,
    service: ComputeService | None = DOWN,
    cloud: CloudView | None = None,
    **others: Any,  # noqa: ANN401
) -> ClusterView:
    """The host, a spare one with an agent, and Nova's word."""
    view = a_view(host, a_host(SPARE), **others)
    return replace(view, cloud=cloud or cloud_with(service))


def decided(view: ClusterView) -> Decision:
    """What is decided, held to what is true of every decision."""
    decision = decide(view, POLICY, NOW_S)
    assert_sound(view, decision)
    return decision


def an_agentless_host(state: HostState | None = HostState.UP, **others: Any) -> HostView:  # noqa: ANN401
    """The first host as one without an agent: all there is of it is the leader's own."""
    host = a_host(HOST, state, is_here=False, shut_out_boot=None, **others)
    record = host.record.value
    return replace(
        host,
        spec=replace(host.spec, agentless=True),
        record=at(
            host.record.version, replace(record, boot_id=None) if record is not None else None
        ),
        self_=at(SELF_VERSION, None),
        domains=None,
        capacity=None,
    )


def of_no_boot(*migrations: Any, **others: Any) -> IncidentView:  # noqa: ANN401
    """The host's open incident."""
    return an_incident(*migrations, boot_id=None, **others)
