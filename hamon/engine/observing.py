"""Observe: join ZooKeeper's picture, the probes and the own memory into one immutable view."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hamon.decide.chronicle import told_of_live_hosts
from hamon.engine.cloud_picture import CloudPicture
from hamon.engine.memory import Memory
from hamon.engine.ports import Cluster, Probes, Witness
from hamon.model.change import Decision, Versioned
from hamon.model.cloud import CloudView
from hamon.model.control import Request
from hamon.model.host import HostChecks, HostDomains, HostSpec, HostState
from hamon.model.names import IncidentId
from hamon.model.stored import StoredCluster, StoredHost, StoredIncident
from hamon.model.view import (
    ClusterView,
    FirstLook,
    HostView,
    IncidentView,
    MigrationView,
    OwnView,
)
from hamon.ports.clock import Clock

REQUEST_LIFE_S = 60.0
"""A request older than this is not carried out: whoever asked has gone (DESIGN §5)."""


class Observer:
    """Builds the view of one controller.

    Args:
        cluster: ZooKeeper's picture.
        probes: the probes of the planes.
        memory: what this controller saw and when.
        clock: time.
        specs: the hosts as configured; a host that ZooKeeper does not have is not in the view.
        cloud: what was read of Nova, None: there is no Nova.
        witnesses: what else sees hosts live or die.
    """

    def __init__(
        self,
        cluster: Cluster,
        probes: Probes,
        memory: Memory,
        clock: Clock,
        specs: Iterable[HostSpec],
        cloud: CloudPicture | None = None,
        witnesses: Iterable[Witness] = (),
    ) -> None:
        self._cluster = cluster
        self._witnesses: tuple[Witness, ...] = (probes, *witnesses)
        self._memory = memory
        self._clock = clock
        self._specs = {spec.name: spec for spec in specs}
        self._cloud = cloud

    def view(self, own: OwnView) -> ClusterView | None:
        """Return the world as it is seen now; None while ZooKeeper's picture is not whole.

        The witnesses are told which hosts are in trouble: what they say of these must be fresh.

        Args:
            own: how this controller is doing.
        """
        stored = self._cluster.picture()
        if stored is None:
            return None
        now_s = self._clock.now_s()
        hosts = {
            name: self._host(spec, stored.hosts[name], now_s)
            for name, spec in self._specs.items()
            if name in stored.hosts
        }
        troubled = frozenset(name for name in hosts if _is_in_trouble(hosts[name]))
        for witness in self._witnesses:
            witness.hasten(troubled)
        return ClusterView(
            ready=self._memory.ready(),
            own=own,
            wall=self._clock.wall(),
            control=stored.control,
            storms=stored.storms,
            hosts=hosts,
            guests=stored.guests,
            incidents=self._incidents(stored, now_s),
            requests=self._requests(stored, now_s),
            controllers=stored.controllers,
            leader=stored.leader,
            unreadable=stored.unreadable,
            cloud=self._cloud_view(stored),
            first_look=self._memory.first("look", FirstLook(at_s=now_s, wall=self._clock.wall())),
        )

    def remember(self, view: ClusterView, decision: Decision) -> None:
        """Remember what a leader's round thought of hosts that no incident tells of yet."""
        told = told_of_live_hosts(view, decision)
        self._memory.thought(told, self._clock.now_s(), view.wall)

    def _cloud_view(self, stored: StoredCluster) -> CloudView | None:
        """Return what was read of Nova; the guests are forgotten when nobody needs them.

        safety: a list of long ago would be taken for a whole one when the host dies one day, and
        what has changed in between is on no list of what changed lately.
        """
        if self._cloud is None:
            return None
        self._cloud.passwords.forget(stored.guests, self._clock.now_s())
        view = self._cloud.view()
        is_quiet = all(i.record.value.closed for i in stored.incidents.values())
        is_known = view.traced_s or view.listed_s
        if is_known and is_quiet and not any(map(_needs_cloud, stored.hosts.values())):
            self._cloud.forget()
            return self._cloud.view()
        return view

    def _host(self, spec: HostSpec, stored: StoredHost, now_s: float) -> HostView:
        memory = self._memory.saw_session(spec.name, stored.session, now_s)
        record = stored.record.value
        state = record.state if record is not None else None
        return HostView(
            spec=spec,
            guard=stored.guard,
            mode=stored.mode,
            record=stored.record,
            self_=stored.self_,
            heartbeat=stored.heartbeat,
            session_lost_s=memory.session_lost_s,
            registered_s=memory.registered_s,
            state_since_s=self._memory.since(("state", spec.name), state, now_s),
            evidence=tuple(
                evidence for witness in self._witnesses for evidence in witness.evidence(spec.name)
            ),
            readings=memory.readings,
            shots=dict(memory.shots),
            power_ons=dict(memory.power_ons),
            device_checks=dict(memory.checks),
            domains=_domains(stored),
            agents=stored.agents,
            capacity=stored.capacity,
            checks=_checks(stored),
            inventory=stored.inventory,
            grants=stored.grants,
            history=memory.recent_thoughts(now_s),
        )

    def _requests(self, stored: StoredCluster, now_s: float) -> dict[str, Versioned[Request]]:
        """Leave out requests that nobody waits for any more."""
        return {
            sequence: request
            for sequence, request in stored.requests.items()
            if now_s - self._memory.since(("request", sequence), request.value.nonce, now_s)
            <= REQUEST_LIFE_S
        }

    def _incidents(self, stored: StoredCluster, now_s: float) -> dict[IncidentId, IncidentView]:
        return {
            name: self._incident(name, incident, now_s)
            for name, incident in stored.incidents.items()
        }

    def _incident(self, name: IncidentId, stored: StoredIncident, now_s: float) -> IncidentView:
        attempt = stored.record.value.attempt
        return IncidentView(
            record=stored.record,
            since_s=self._memory.since(("incident", name), attempt, now_s),
            opened_s=self._opened_s(name, stored, now_s),
            written_s=self._memory.since(("written", name), stored.record.version, now_s),
            proof_s=self._memory.since(("proof", name), stored.record.value.proof, now_s),
            migrations={
                guest: MigrationView(
                    record=record,
                    since_s=self._memory.since(("migration", name, guest), record.version, now_s),
                )
                for guest, record in stored.migrations.items()
            },
        )

    def _opened_s(self, name: IncidentId, stored: StoredIncident, now_s: float) -> float | None:
        """Return when this controller first saw the incident, None: it was closed by then."""
        was_closed = self._memory.first(("opened", name), stored.record.value.closed)
        return None if was_closed else self._memory.since(("seen", name), None, now_s)


def _domains(stored: StoredHost) -> HostDomains | None:
    """Return the host's listing; as one that libvirt did not answer when nobody keeps it.

    safety: a guests process that died has listed what was, and its znode stays. A guest that was
    started since would be taken for one that does not run, and be asked for a second time.
    """
    domains = stored.domains
    if domains is None or not domains.is_attended or stored.is_attended:
        return domains
    return replace(domains, is_healthy=False)


def _checks(stored: StoredHost) -> HostChecks | None:
    """Return what the host's checks found; nothing when nobody keeps it.

    safety: a guests process that died has told what was, and its znode stays. A host whose storage
    is well again would be given up by a policy that fences for it.
    """
    return stored.checks if stored.is_attended else None


def _needs_cloud(host: StoredHost) -> bool:
    """Say whether guests of the host are known by Nova's lists: denied ones, or to be restarted."""
    record = host.record.value
    return bool(host.grants) or (record is not None and record.state is HostState.RESTARTED)


def _is_in_trouble(host: HostView) -> bool:
    """Say whether a decision about the host may rest on what the probes say of it."""
    record = host.record.value
    return host.heartbeat is None or (record is not None and record.state is not HostState.UP)
