"""The gate before nova-compute: it stays shut until this boot may serve and the hook obeys.

nova-compute may start guests from its first second: what a user or Nova asked of it while it was
away waits in its queue. A guest that was evacuated while this host was dead is denied only once the
guests process has read its grants. So the gate waits for both, the leader's word and that reading.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from hamon.agent.config import AgentConfig
from hamon.agent.events import EventLog
from hamon.agent.gate_files import Enforced, FileGateFiles, GateFiles
from hamon.agent.login import store_settings
from hamon.clock import SystemClock
from hamon.coordination.codec import NodeValue, decode
from hamon.coordination.paths import Place, PlaceKind, to_path
from hamon.coordination.zookeeper import ZooKeeperStore
from hamon.errors import AccessDeniedError, NodeMissingError, StoreError, UnreadableNodeError
from hamon.model.change import Versioned
from hamon.model.host import HostGuard, HostSelf, Right
from hamon.model.names import BootId, HostName
from hamon.ports.clock import Clock
from hamon.ports.store import Store

LOOK_PERIOD_S = 1.0
FIRST_ANSWER_S = 2.0
"""ZooKeeper gets this long before the gate says that it does not answer."""

MARK_FRESH_S = 20.0
"""The guests process writes its mark again every few seconds: an older one has lost its writer, or
its writer has lost ZooKeeper."""


class Verdict(StrEnum):
    """Whether nova-compute may start. ``never``: not in this boot, whatever is waited for."""

    OPEN = "open"
    CLOSED = "closed"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateAnswer:
    """A verdict, and why, in an operator's words."""

    verdict: Verdict
    why: str


_SHADOW = GateAnswer(
    verdict=Verdict.OPEN,
    why="hamon is in shadow mode: it holds nothing back but what it once moved",
)

_GIVEN_UP = GateAnswer(
    verdict=Verdict.NEVER, why="this very boot was given up for dead: reboot the host"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFacts:
    """What was read, ``registered`` before ``guard``.

    ``registered``: the boot that the heartbeat registered last. ``now_s``: CLOCK_BOOTTIME.
    ``is_shadow``: as far as this host knows.
    """

    boot_id: BootId
    registered: BootId | None
    guard: Versioned[HostGuard]
    enforced: Enforced | None
    now_s: float
    is_shadow: bool = False


def judge(facts: GateFacts) -> GateAnswer:
    """Say whether nova-compute may start in this boot, by what ZooKeeper and the agent say."""
    guard = facts.guard.value
    if guard.right is Right.SHUT_OUT:
        if guard.boot_id == facts.boot_id:
            return _GIVEN_UP
        if not guard.is_gate_open:
            return _closed(
                "the leader has not opened the gate yet: guests of incident"
                f" {guard.incident} are still moving"
            )
    elif facts.is_shadow:
        return _SHADOW
    # safety: a conviction names the boot that was registered. Only if that is this one would this
    # boot learn that it was convicted after the guard was read.
    if facts.registered != facts.boot_id:
        return _closed(
            "the heartbeat has not registered this boot yet: see `journalctl -u hamon-agent`"
        )
    mark = facts.enforced
    if mark is None or facts.now_s - mark.at_s > MARK_FRESH_S:
        return _closed(
            "the guests process does not run, or does not reach ZooKeeper: see"
            " `journalctl -u hamon-agent-guests`"
        )
    # safety: equal, not at least: the mark then speaks of grants that were read after the very
    # guard that was read here.
    if mark.guard_version != facts.guard.version:
        return _closed("the guests process has not read the leader's last word yet")
    return GateAnswer(verdict=Verdict.OPEN, why="the hook refuses what was evacuated from here")


def _closed(why: str) -> GateAnswer:
    return GateAnswer(verdict=Verdict.CLOSED, why=why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Looks until it opens. ``say``: takes a sentence for whoever watches."""

    host: HostName
    boot_id: BootId
    store: Store
    files: GateFiles
    clock: Clock
    log: EventLog
    say: Callable[[str], None]

    async def wait(self, timeout_s: float | None) -> GateAnswer:
        """Return when nova-compute may start, never may in this boot, or the time is over.

        Each reason to wait is told once, when it becomes the reason.

        Args:
            timeout_s: how long to wait; None: for ever.
        """
        end_s = None if timeout_s is None else self.clock.now_s() + timeout_s
        told = ""
        while True:
            answer = await self._look()
            if answer.verdict is Verdict.NEVER:
                self.log.error("gate_closed_for_good", why=answer.why)
                return answer
            if answer.verdict is Verdict.CLOSED and (overridden := self._overridden()):
                return overridden
            if answer.verdict is Verdict.OPEN:
                self.log.info("gate_opened", why=answer.why)
                return answer
            if answer.why != told:
                told = answer.why
                self.log.warning("gate_waits", why=answer.why)
                self.say(f"waiting: {answer.why}")
            left_s = LOOK_PERIOD_S if end_s is None else end_s - self.clock.now_s()
            if left_s <= 0:
                return answer
            await self.clock.sleep(min(LOOK_PERIOD_S, left_s))

    async def _look(self) -> GateAnswer:
        if self.files.is_given_up():
            # Known once it stays so, also when ZooKeeper does not tell it any more.
            return _GIVEN_UP
        try:
            own = await self._value(PlaceKind.SELF)
            guard = await self._value(PlaceKind.GUARD)
        except NodeMissingError:
            return self._unread(
                f"host {self.host} is not enrolled: add it to hosts.d on the controllers, under"
                " exactly this name"
            )
        except AccessDeniedError as error:
            return self._unread(
                f"ZooKeeper refuses the identity of host {self.host} ({error.why}): compare"
                " zookeeper.password_file with what the controllers were given for it"
            )
        except StoreError:
            return self._unread("ZooKeeper does not answer")
        except UnreadableNodeError as error:
            return self._unread(f"{error}: update hamon on this host")
        if not isinstance(guard.value, HostGuard):
            return self._unread(f"ZooKeeper holds no right to live for host {self.host}")
        return judge(
            GateFacts(
                boot_id=self.boot_id,
                registered=own.value.boot_id if isinstance(own.value, HostSelf) else None,
                guard=Versioned(value=guard.value, version=guard.version),
                enforced=self.files.enforced(),
                now_s=self.clock.now_s(),
                is_shadow=self.files.is_marked_shadow(),
            )
        )

    def _unread(self, why: str) -> GateAnswer:
        # safety: nobody convicts a host that says that it goes by shadow mode (agent/shadow.py), so
        # that no guest was moved away from it; without an operator's own word to the contrary.
        return _SHADOW if self.files.is_marked_shadow() else _closed(why)

    async def _value(self, kind: PlaceKind) -> Versioned[NodeValue | None]:
        path = to_path(Place(kind=kind, host=self.host))
        node = await self.store.get(path)
        return Versioned(value=decode(path, node.data), version=node.version)

    def _overridden(self) -> GateAnswer | None:
        # safety: an operator of this host has said that nova-compute may start, and answers for it;
        # it is for the day ZooKeeper is gone. The guests process sees the same word and gives
        # Nova's guests their permits, but for what was denied when ZooKeeper last answered. A boot
        # that is known to be shut out is not opened by it.
        override = self.files.override()
        if override is None:
            return None
        why = f"overridden by {override.who} at {override.at}: {override.reason}"
        self.log.error("gate_overridden", who=override.who, at=override.at, reason=override.reason)
        return GateAnswer(verdict=Verdict.OPEN, why=why)


async def wait_at_gate(
    config: AgentConfig,
    clock: SystemClock,
    log: EventLog,
    say: Callable[[str], None],
    timeout_s: float | None,
) -> GateAnswer:
    """Wait at this host's gate with a ZooKeeper session of its own.

    Raises:
        ConfigError: something in the configuration cannot be used.
        AccessDeniedError: ZooKeeper refused this host's identity for good.
    """
    boot_id = config.boot_id()
    store = ZooKeeperStore(store_settings(config))
    gate = Gate(
        host=config.host,
        boot_id=boot_id,
        store=store,
        files=FileGateFiles(config.folders.run_dir, boot_id),
        clock=clock,
        log=log,
        say=say,
    )
    connecting = asyncio.ensure_future(store.start())
    waiting: asyncio.Future[GateAnswer] | None = None
    try:
        await asyncio.wait({connecting}, timeout=FIRST_ANSWER_S)
        waiting = asyncio.ensure_future(gate.wait(timeout_s))
        await asyncio.wait({connecting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if connecting.done():
            # Says what cannot be used, if that is why it ended.
            connecting.result()
        return await waiting
    finally:
        tasks = [task for task in (connecting, waiting) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await store.close()
