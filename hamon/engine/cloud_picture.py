"""What this controller has read of Nova, joined from whole lists and lists of what changed.

Kept in memory only: a later leader reads anew. A list counts from the moment it was asked for, and
what an answer tells is not taken where the answer to a later question told it already: several are
under way at once, and a long list may be overtaken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from hamon.engine.cloud_clock import NovaClock
from hamon.engine.cloud_passwords import Passwords
from hamon.evacuator.cloud import rows
from hamon.evacuator.cloud.pacing import Pace
from hamon.model.action import CloudLook, CloudLookKind
from hamon.model.cloud import (
    COMPUTE,
    CONDUCTOR,
    Aggregate,
    CallState,
    CloudCall,
    CloudMigration,
    CloudView,
    ComputeService,
    Image,
    Progress,
    Server,
    ServerGroup,
)
from hamon.model.names import GuestId

_HARD_AFFINITY = "affinity"
_SERVICES = CloudLook(kind=CloudLookKind.SERVICES)
_SERVERS_CHANGED = CloudLook(kind=CloudLookKind.SERVERS_CHANGED)
_MIGRATIONS_CHANGED = CloudLook(kind=CloudLookKind.MIGRATIONS_CHANGED)

_RowKey = tuple[GuestId, int]
"""What names a migration record: its guest and its number."""

K = TypeVar("K", GuestId, _RowKey)
V = TypeVar("V")


class CloudPicture:
    """The picture of one Nova.

    Args:
        pace: how many evacuations may be in flight at first.

    Attributes:
        clock: from when on changes are to be listed.
        passwords: new ones of guests.
    """

    def __init__(self, pace: Pace) -> None:
        self._view = CloudView()
        self._pace = pace
        self.clock = NovaClock()
        self.passwords = Passwords()
        self._claimed: set[_RowKey] = set()
        self._changed: dict[str, tuple[ComputeService, float]] = {}
        self._listed: dict[str, ComputeService] = {}
        self._told_s: dict[GuestId | _RowKey, float] = {}

    def view(self) -> CloudView:
        """Return the picture as it is now."""
        window, known = int(self._pace.window), self.passwords.known()
        return replace(self._view, window=window, passwords=known)

    # -- what was read ----------------------------------------------------------------------------

    def saw_services(self, services: Iterable[ComputeService], asked_s: float) -> None:
        """Take a list of all services."""
        found = tuple(services)
        conducts = any(s.binary == CONDUCTOR and s.is_up for s in found)
        since_s = self._view.conducting_since_s
        # What was confirmed after this list was asked for, the list may not show yet.
        newer = {h: kept for h, (kept, at_s) in self._changed.items() if at_s > asked_s}
        self.clock.told(_SERVICES, (service.beat_at for service in found))
        self._view = replace(
            self._view,
            beats_s={**self._view.beats_s, **self._heartbeats(found)},
            silent_s={**self._view.silent_s, **_silent(found, asked_s)},
            services={s.host: s for s in found if s.binary == COMPUTE} | newer,
            services_s=asked_s,
            conducting_since_s=(since_s if since_s is not None else asked_s) if conducts else None,
        )

    def saw_servers_of(self, host: str, servers: Iterable[Server], asked_s: float) -> None:
        """Take the whole list of one host's servers."""
        listed = {server.guest: server for server in servers}
        # Whoever is not on it any more has moved, or is gone: the list does not say which.
        missing = {
            guest
            for guest, known in self._view.servers.items()
            if known.host == host and guest not in listed and self._is_news(guest, asked_s)
        }
        look = CloudLook(kind=CloudLookKind.SERVERS_OF, service_host=host)
        self.clock.told(look, (server.updated_at for server in listed.values()))
        found = self._news(listed, asked_s)
        self._view = replace(
            self._view,
            servers={**self._view.servers, **found},
            unlisted=(self._view.unlisted | missing) - found.keys(),
            listed_s={**self._view.listed_s, host: asked_s},
        )

    def saw_servers_changed(self, servers: Iterable[Server], asked_s: float) -> None:
        """Take the servers that changed; those that nobody asked about before are left out."""
        found = {
            server.guest: server
            for server in servers
            if server.guest in self._view.servers or server.host in self._view.listed_s
        }
        self.clock.told(_SERVERS_CHANGED, (server.updated_at for server in found.values()))
        found = self._news(found, asked_s)
        self._view = replace(
            self._view,
            servers={**self._view.servers, **found},
            unlisted=self._view.unlisted - found.keys(),
            changed_s=asked_s,
        )

    def saw_touched(self, guests: frozenset[GuestId], asked_s: float) -> None:
        """Take which servers changed since the list of changes before, by uuid only."""
        self._view = replace(self._view, touched=guests, touched_s=asked_s)

    def saw_server(self, guest: GuestId, server: Server | None, asked_s: float) -> None:
        """Take one server, wherever it is; None: Nova knows it no more."""
        gone = Server(guest=guest, name="", host="", node="", vm_state="deleted")
        found = self._news({guest: server if server is not None else gone}, asked_s)
        self._view = replace(
            self._view,
            servers={**self._view.servers, **found},
            unlisted=self._view.unlisted - found.keys(),
        )

    def saw_migrations(
        self,
        migrations: Iterable[CloudMigration],
        asked_s: float,
        *,
        came_s: float,
        host: str = "",
    ) -> None:
        """Take migrations: all of one host's, or (without one) those that changed."""
        # By the guest, too: each cell of Nova's has numbers of its own.
        listed = {(row.guest, row.number): row for row in migrations}
        ended = {key: came_s for key, row in listed.items() if row.status not in rows.OPEN}
        whole = CloudLook(kind=CloudLookKind.MIGRATIONS_OF, service_host=host)
        look = whole if host else _MIGRATIONS_CHANGED
        self.clock.told(look, (row.updated_at for row in listed.values()))
        known = {
            (row.guest, row.number): row
            for of_guest in self._view.migrations.values()
            for row in of_guest
        }
        missing = {
            key
            for key, row in known.items()
            if host in {row.source, row.destination}
            and key not in listed
            and self._is_news(key, asked_s)
        }
        found = self._news(listed, asked_s)
        known.update(found)
        by_guest: dict[GuestId, list[CloudMigration]] = {}
        for key in sorted(known):
            by_guest.setdefault(known[key].guest, []).append(known[key])
        for row in found.values():
            self._count(row)
        changes_s = self._view.traced_changes_s if host else asked_s
        traced = {**self._view.traced_s, host: asked_s} if host else self._view.traced_s
        self._view = replace(
            self._view,
            migrations={guest: tuple(of_guest) for guest, of_guest in by_guest.items()},
            unlisted_rows=(self._view.unlisted_rows | (missing if host else set())) - found.keys(),
            traced_s=traced,
            traced_changes_s=changes_s,
            ended_s=ended | dict(self._view.ended_s),
        )

    def saw_progress(self, guest: GuestId, progress: Progress, asked_s: float) -> None:
        """Take how far Nova is with a guest's evacuation."""
        self._view = replace(
            self._view,
            progress={**self._view.progress, guest: progress},
            progress_s={**self._view.progress_s, guest: asked_s},
        )

    def saw_groups(self, groups: Iterable[ServerGroup], asked_s: float) -> None:
        """Take all server groups."""
        members = {m for group in groups if group.policy == _HARD_AFFINITY for m in group.members}
        self._view = replace(self._view, hard_affinity=frozenset(members), groups_s=asked_s)

    def saw_image(self, image: str, found: Image | None, asked_s: float) -> None:
        """Take what is said of an image; None: it could not be read."""
        images = self._view.images if found is None else {**self._view.images, image: found}
        images_s = {**self._view.images_s, image: asked_s}
        self._view = replace(self._view, images=images, images_s=images_s)

    def saw_aggregates(self, aggregates: Iterable[Aggregate], asked_s: float) -> None:
        """Take all aggregates."""
        self._view = replace(self._view, aggregates=tuple(aggregates), aggregates_s=asked_s)

    def took(self, kind: CloudLookKind, for_s: float) -> None:
        """Note how long a reading took."""
        self._view = replace(self._view, took_s={**self._view.took_s, kind: for_s})

    def renewed_token(self, asked_s: float) -> None:
        """Note that the token is fresh."""
        self._view = replace(self._view, token_s=asked_s)

    # -- what was asked for -----------------------------------------------------------------------

    def called(self, subject: str, call: CloudCall) -> None:
        """Note a request for a guest or service, or what became of it."""
        if call.state is CallState.UNKNOWN:
            self._pace = self._pace.after_loss(call.at_s)
        self._view = replace(self._view, calls={**self._view.calls, subject: call})

    def changed_service(self, service: ComputeService, now_s: float) -> None:
        """Take a change of a service that Nova confirmed, until it is listed anew."""
        self._changed[service.host] = (service, now_s)
        self._view = replace(self._view, services={**self._view.services, service.host: service})

    def forget(self) -> None:
        """Forget guests and their migrations when no incident is open any more."""
        kept = self._view
        self._view = CloudView(
            services=kept.services,
            services_s=kept.services_s,
            beats_s=kept.beats_s,
            silent_s=kept.silent_s,
            conducting_since_s=kept.conducting_since_s,
            hard_affinity=kept.hard_affinity,
            groups_s=kept.groups_s,
            aggregates=kept.aggregates,
            aggregates_s=kept.aggregates_s,
            token_s=kept.token_s,
            took_s=kept.took_s,
        )
        self._claimed.clear()
        self.clock.forget()
        self._told_s.clear()

    # -- inside -----------------------------------------------------------------------------------

    def _is_news(self, key: GuestId | _RowKey, asked_s: float) -> bool:
        """Say whether nothing is known of a server or record from a later question."""
        return asked_s >= self._told_s.get(key, asked_s)

    def _news(self, told: Mapping[K, V], asked_s: float) -> dict[K, V]:
        """Return what an answer tells that no later question has told, and note that it did."""
        news = {key: value for key, value in told.items() if self._is_news(key, asked_s)}
        self._told_s.update(dict.fromkeys(news, asked_s))
        return news

    def _heartbeats(self, found: Iterable[ComputeService]) -> dict[str, float]:
        """Return the computes that sent a heartbeat since the list before, and when that was.

        Nova stamps its row also when somebody changes its flags; a change of nothing else is a
        heartbeat. What it says of itself, up or down, follows from the stamp.
        """
        before, self._listed = self._listed, {s.host: s for s in found if s.binary == COMPUTE}
        before_s = self._view.services_s
        if before_s is None:
            return {}
        return {
            host: before_s
            for host, service in self._listed.items()
            if host in before
            and before[host].beat_at != service.beat_at
            and _flags(before[host]) == _flags(service)
        }

    def _count(self, row: CloudMigration) -> None:
        """Widen the window for each evacuation of this picture's that was claimed, once."""
        is_ours = self._view.calls.get(row.guest) is not None
        key = (row.guest, row.number)
        if row.status in rows.CLAIMED and is_ours and key not in self._claimed:
            self._claimed.add(key)
            self._pace = self._pace.after_claim()


def _silent(found: Iterable[ComputeService], asked_s: float) -> dict[str, float]:
    """Return the computes that are down by Nova's word, or of a cell that is, and not by anybody's.

    Of those that are forced down Nova does not tell.
    """
    return {
        service.host: asked_s
        for service in found
        if service.binary == COMPUTE and not service.is_up and not service.is_forced_down
    }


def _flags(service: ComputeService) -> tuple[bool, bool, str]:
    """Return what people, and hamon, change of a service."""
    return service.is_forced_down, service.is_enabled, service.disabled_reason
