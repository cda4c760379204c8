"""What a host checks of itself, and tells the leader: storage, libvirt, links.

A host may answer every probe while its guests' disks or networks are gone; only it can tell. What
is published changes when a check fails twice in a row, or has failed and passes twice: one slow
write must not have guests of a whole host talked about.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from hamon.agent.context import AgentContext, CheckSources
from hamon.agent.domain_listing import DomainListing
from hamon.agent.znodes import OwnZnode
from hamon.coordination.paths import Place, PlaceKind, to_path
from hamon.errors import StoreError
from hamon.model.host import STORAGE_CHECK, HostChecks

IN_A_ROW = 2


class HostChecker:
    """Checks and publishes.

    Args:
        context: the host.
        sources: where its storage and links tell how they are.
        listing: what libvirt last answered.
    """

    def __init__(
        self, context: AgentContext, sources: CheckSources, listing: DomainListing
    ) -> None:
        self._context = context
        self._sources = sources
        self._listing = listing
        self._checks: dict[str, _Check] = {}
        place = Place(kind=PlaceKind.CHECKS, host=context.host)
        self._znode = OwnZnode(context.store, to_path(place))

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            self._look()
            # The guests' rounds tell when ZooKeeper is lost; the next round here writes again.
            with contextlib.suppress(StoreError):
                await self._publish()
            await self._context.clock.sleep(self._sources.period_s)

    def failing(self) -> dict[str, bool]:
        """Tell of each check whether it fails, as published; may be asked from any thread."""
        return {name: bool(check.failed) for name, check in self._checks.copy().items()}

    def _look(self) -> None:
        for name, why in self._troubles().items():
            check = self._checks.setdefault(name, _Check())
            before = check.failed
            check.take(why)
            if check.failed and not before:
                self._context.log.warning("check_failed", check=name, why=check.failed)
            elif before and not check.failed:
                self._context.log.info("check_passed", check=name)

    def _troubles(self) -> dict[str, str | None]:
        """Look at everything once; the reason, "": none, None: not known yet."""
        is_answering = self._listing.current.is_healthy
        return {
            "libvirt": "" if is_answering else "libvirt does not answer",
            **{f"{STORAGE_CHECK}{name}": why for name, why in self._sources.storage().items()},
            **{f"link:{name}": why for name, why in self._sources.links().items()},
        }

    async def _publish(self) -> None:
        """Write what failed, unless it stands there; nothing while nothing ever failed.

        Nothing before every check is settled, either: a process that was started anew must not take
        back what the former one found.
        """
        if not all(check.is_settled for check in self._checks.values()):
            return
        failed = {n: check.failed for n, check in sorted(self._checks.items()) if check.failed}
        value = HostChecks(boot_id=self._context.boot_id, failed=failed)
        await self._znode.put(value, may_stay_empty=not failed)


@dataclass(slots=True)
class _Check:
    """One check. ``failed``: the reason that is published, the first one; "": it passes."""

    failed: str = ""
    is_settled: bool = False
    is_bad: bool = False
    count: int = 0

    def take(self, why: str | None) -> None:
        """Take one result in; None says nothing."""
        if why is None:
            return
        self.count = self.count + 1 if self.is_bad == bool(why) else 1
        self.is_bad = bool(why)
        if self.count >= IN_A_ROW:
            self.is_settled = True
            self.failed = (self.failed or why) if why else ""
