"""The desk's answers that only Nova has: a guest by its name, a host's guests, a rehearsal.

Asked when a person asks: nothing of it is kept, and the loop does not wait for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from hamon.engine.answers import Answer
from hamon.engine.cloud_picture import CloudPicture
from hamon.engine.host_answers import policy_answer
from hamon.errors import (
    CloudConflictError,
    CloudError,
    CloudMissingError,
    RequestRefusedError,
)
from hamon.evacuator.cloud.judge import Call, judge, wanted_of
from hamon.evacuator.cloud.places import host_of, is_proven_dead
from hamon.evacuator.cloud.said import policy_of
from hamon.evacuator.estimate import seconds_for
from hamon.model.cloud import Image, Server
from hamon.model.host import LIVE_STATES
from hamon.model.incident import IncidentRecord, Trigger
from hamon.model.names import GuestId, HostName, IncidentId
from hamon.model.policy import EvacuationPolicy
from hamon.model.view import ClusterView, HostView
from hamon.ports.cloud import Cloud


class CloudDesk:
    """Answers what Nova knows.

    Args:
        cloud: Nova.
        picture: keeps passwords until they are used.
        policy: by which guests are judged.
    """

    def __init__(self, cloud: Cloud, picture: CloudPicture, policy: EvacuationPolicy) -> None:
        self._cloud = cloud
        self._picture = picture
        self._policy = policy

    def keep_password(self, guest: GuestId, password: str, now_s: float) -> None:
        """Remember the password an operator gave for a guest, in this process only."""
        self._picture.passwords.keep(guest, password, now_s)

    async def guest(self, name: str, view: ClusterView) -> Answer:
        """Return the guest of this uuid or (if only one has it) this name.

        Raises:
            RequestRefusedError: there is none, or several, or its host is not enrolled.
        """
        try:
            server = await self._cloud.server(name)
        except CloudMissingError as error:
            raise RequestRefusedError(f"Nova knows no server {name}") from error
        except CloudConflictError as error:
            raise RequestRefusedError(error.why, "use a uuid") from error
        except CloudError as error:
            raise _unread(error) from error
        host = host_of(view, server.host)
        if host is None:
            raise RequestRefusedError(
                f"server {server.name} is on {server.host or 'no host'}, which is not enrolled",
                "hamon evacuates the hosts in hosts.d only",
            )
        opened = view.guests.get(server.guest)
        view = await self._with_choices(view, (server,))
        assert view.cloud is not None, "there is a cloud"
        known = policy_of(view.cloud, server, host.service_host, self._policy)
        return {
            "guest": server.guest,
            "name": server.name,
            "owner": host.name,
            "opted_out": known.opted_out,
            "wanted": wanted_of(server, host),
            "migration": opened.value.migration if opened is not None else None,
        }

    async def guests_of(self, name: str, view: ClusterView) -> Answer:
        """Return a host's guests as Nova has them now, with why one would not move.

        ``guests_unknown`` says why not, where Nova does not answer: the guests are those that were
        last read then, by the leader of an incident, and the rest is worth knowing.
        """
        host = view.hosts[HostName(name)]
        why = ""
        try:
            servers = await self._servers(host)
        except RequestRefusedError as error:
            servers, why = _last_read(view, host), error.why
        view = await self._with_choices(view, () if why else servers)
        lines = [self._guest_line(view, host, server) for server in servers]
        return {"guests": lines, "guests_unknown": why}

    async def would_evacuate(self, name: str, view: ClusterView) -> Answer:
        """Return a host's guests as Nova has them now, and which of them would stay where they are.

        Where the others would go Nova's scheduler says only when it is asked to evacuate them.
        """
        known = await self.guests_of(name, view)
        rows = [
            {
                "guest": line["guest"],
                "name": line["name"],
                "destination": None,
                "why": ", ".join(line["not_movable"]),
            }
            for line in known["guests"]
        ]
        return {"would_evacuate": rows, "guests_unknown": known["guests_unknown"]}

    async def rehearsal(self, name: str, target: str | None, view: ClusterView) -> Answer:
        """Return where each guest of a host could go by placement, and how long that may take.

        Placement has room there; Nova's filters choose among them, and may refuse some.

        Raises:
            RequestRefusedError: Nova does not answer.
        """
        host = view.hosts[HostName(name)]
        lines = []
        known: dict[tuple[int, int, int], tuple[str, ...]] = {}
        servers = await self._servers(host)
        view = await self._with_choices(view, servers)
        for server in servers:
            line = self._guest_line(view, host, server)
            size = (server.vcpus, server.ram_mib, server.disk_gib if server.image else 0)
            if size not in known:
                known[size] = await self._destinations(server)
            fits = [place for place in known[size] if _may_take(view, host, place, target)]
            why = ", ".join(line["not_movable"])
            if not why and not fits:
                why = "NoValidHost: placement has room on no host that is up"
            lines.append({**line, "destination": ", ".join(fits) if not why else None, "why": why})
        moving = sum(1 for line in lines if line["destination"])
        return {"host": name, "guests": lines, "seconds": seconds_for(view, moving)}

    async def _with_choices(self, view: ClusterView, servers: Iterable[Server]) -> ClusterView:
        """Return the view with what is said of images and aggregates now, as far as it is told."""
        cloud = view.cloud
        assert cloud is not None, "there is a cloud"
        aggregates, images = cloud.aggregates, dict(cloud.images)
        with suppress(CloudError):
            aggregates = await self._cloud.aggregates()
        for image in sorted({server.image for server in servers} - {""}):
            try:
                images[image] = await self._cloud.image(image)
            except CloudMissingError:
                images[image] = Image(id=image)
            except CloudError:
                # Whoever does not answer now keeps a person waiting for each of the others, too.
                break
        return replace(view, cloud=replace(cloud, aggregates=aggregates, images=images))

    async def _servers(self, host: HostView) -> tuple[Server, ...]:
        try:
            servers = await self._cloud.servers(host=host.service_host)
        except CloudError as error:
            raise _unread(error) from error
        return tuple(sorted(servers, key=lambda server: server.name))

    async def _destinations(self, server: Server) -> tuple[str, ...]:
        try:
            return await self._cloud.destinations(server)
        except CloudError as error:
            raise _unread(error) from error

    def _guest_line(self, view: ClusterView, host: HostView, server: Server) -> Answer:
        judgement = judge(view, _as_incident(host), server, self._policy)
        stays = [judgement.why] if judgement.call is Call.STAYS else []
        assert view.cloud is not None, "there is a cloud"
        known = policy_of(view.cloud, server, host.service_host, self._policy)
        domain = host.domains.domains.get(server.guest) if host.domains is not None else None
        opened = view.guests.get(server.guest)
        return {
            "guest": server.guest,
            "name": server.name,
            "wanted": wanted_of(server, host),
            "domain": domain,
            "vm_state": server.vm_state,
            "task_state": server.task_state,
            "protected": not stays,
            "not_movable": stays,
            "policy": policy_answer(known),
            "owner": host.name,
            "generation": None,
            "migration": opened.value.migration if opened is not None else None,
            "grant": None,
            "ram_mib": server.ram_mib,
            "vcpus": server.vcpus,
        }


def _last_read(view: ClusterView, host: HostView) -> tuple[Server, ...]:
    """Return a host's servers as they were read for its incident, in the order of their names."""
    servers = view.cloud.servers.values() if view.cloud is not None else ()
    of_host = (server for server in servers if server.host == host.service_host)
    return tuple(sorted(of_host, key=lambda server: server.name))


def _as_incident(host: HostView) -> IncidentRecord:
    """Return the incident that there would be if the host died now."""
    return IncidentRecord(
        incident=IncidentId("rehearsal"),
        host=host.name,
        boot_id=None,
        trigger=Trigger.OPERATOR,
        reason="rehearsal",
    )


def _may_take(view: ClusterView, source: HostView, place: str, target: str | None) -> bool:
    """Say whether a compute is up, enabled, not dead, not the source, and the one wanted."""
    service = view.cloud.services.get(place) if view.cloud is not None else None
    host = host_of(view, place)
    if place == source.service_host or service is None or not service.is_up:
        return False
    if not service.is_enabled or service.is_forced_down:
        return False
    if host is not None:
        record = host.record.value
        if is_proven_dead(host) or record is None or record.state not in LIVE_STATES:
            return False
    return target is None or target in {place, host.name if host is not None else place}


def _unread(error: CloudError) -> RequestRefusedError:
    return RequestRefusedError(
        f"Nova could not be asked: {error.why}", "look whether nova-api and keystone answer"
    )
