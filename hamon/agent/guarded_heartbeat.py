"""The guarded heartbeat: a watchdog is petted only after this boot's right to live was committed.

One task, strictly in this order, for ever: commit ``check(state, v)`` with ``set(alive/hb)``; pet
if that succeeded and was quick; sleep. A conviction changes ``state``, so no heartbeat commits
after it and the watchdog resets the host: a leader that waits long enough needs nobody's answer to
know that this boot is over. How long that is, ``hamon.fencing.watchdog`` works out; the whole of
it is in docs/protocol.md ("The guarded heartbeat").

The price: without ZooKeeper no heartbeat commits either, and the host resets itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from hamon.agent.events import EventLog
from hamon.agent.registration import PERIOD_S, RETRY_S, Registration, shut_out_by
from hamon.coordination.codec import encode
from hamon.coordination.paths import Place, PlaceKind, to_path
from hamon.errors import (
    AccessDeniedError,
    StoreError,
    UnreadableNodeError,
    WatchdogError,
    WriteConflictError,
)
from hamon.model.host import Heartbeat, HostSelf, WatchdogFacts
from hamon.model.names import HostName
from hamon.ports.clock import Clock
from hamon.ports.store import CheckVersion, SessionState, SetData, Store
from hamon.ports.watchdog import Watchdog

BEATS_PER_TIMEOUT = 4
"""Heartbeats in one time-out of the device: some may fail and the host lives on."""

LEAVE_TRIES = 3
"""The first may meet the beat that was under way when the process was told to stop."""


def beat_period_s(timeout_s: float) -> float:
    """Return the pause between two heartbeats for a device's time-out."""
    return timeout_s / BEATS_PER_TIMEOUT


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchdogSettings:
    """How the watchdog is used.

    ``timeout_s``: what the device is asked for, a whole number. ``r_max_s``: see WatchdogFacts.
    """

    timeout_s: int
    r_max_s: float


class GuardedHeartbeat:
    """Beats, and pets a watchdog, in the place of ``Registration.run``.

    Args:
        registration: of this boot, made with ``is_guarded``.
        store: its session.
        watchdog: the device, not open.
        settings: how it is used.
        clock: time, also that of a heartbeat's round trip.
        log: told of every change.
        host: its name.
    """

    def __init__(
        self,
        *,
        registration: Registration,
        store: Store,
        watchdog: Watchdog,
        settings: WatchdogSettings,
        clock: Clock,
        log: EventLog,
        host: HostName,
    ) -> None:
        self._registration = registration
        self._store = store
        self._watchdog = watchdog
        self._settings = settings
        self._clock = clock
        self._log = log
        self._guard_path = to_path(Place(kind=PlaceKind.GUARD, host=host))
        self._beat_path = to_path(Place(kind=PlaceKind.HEARTBEAT, host=host))
        self._guard: int | None = None
        self._beat: int | None = None
        self._said: HostSelf | None = None
        self._period_s = beat_period_s(settings.timeout_s)
        self._is_leaving = False
        self._told = ""

    async def run(self) -> None:
        """Beat until cancelled. The device stays armed then.

        Raises:
            AccessDeniedError: ZooKeeper refuses this host's identity.
        """
        while True:
            await self._registration.rest(await self.step())

    async def step(self) -> float:
        """Register if that is missing, beat once, pet; return after how many seconds to go on.

        Raises:
            AccessDeniedError: ZooKeeper refuses this host's identity.
        """
        if self._store.state is not SessionState.CONNECTED:
            self._forget()
            return PERIOD_S
        try:
            return await self._step()
        except AccessDeniedError:
            raise
        except UnreadableNodeError as error:
            # safety: nobody can say whether this boot may live; not petting is the careful side.
            self._forget()
            self._tell("heartbeat_held", why=str(error))
            return PERIOD_S
        except WriteConflictError as error:
            if error.target != self._guard_path:
                self._forget()
                return RETRY_S
            # What changed may be anything but this boot's right to live: read before the next beat.
            self._guard = None
            return 0.0
        except StoreError as error:
            # Among them unknown outcomes. safety: a heartbeat that may have been committed does not
            # pet; the pet that would belong to it is only missing.
            self._forget()
            self._tell("heartbeat_delayed", why=error.why)
            return RETRY_S

    def hand_over(self) -> None:
        """Close the device and leave it armed: a successor beats within one time-out of it."""
        self._watchdog.close(disarm=False)

    async def leave(self) -> None:
        """Withdraw what was said of the watchdog, and let go of it: before an announced leave.

        It is disarmed where the driver lets that be, so that it does not cut an orderly shutdown
        short. Never raises.

        safety: the leader counts on what it is told. Only when the withdrawal was committed may the
        device be disarmed, and only then may others (systemd, at shutdown) pet it. A conviction
        that comes first makes the withdrawal fail, and the device stays armed.
        """
        self._is_leaving = True
        self._registration.say_watchdog(None)
        for _ in range(LEAVE_TRIES):
            try:
                await self.step()
            except AccessDeniedError as error:
                self._tell("heartbeat_delayed", why=error.why)
            if self._is_said():
                break
            await self._registration.rest(RETRY_S)
        self._watchdog.close(disarm=self._is_said())

    async def _step(self) -> float:
        if self._beat is None:
            pause_s = await self._registration.step()
            if not self._registration.is_registered:
                return pause_s
            node = await self._store.get(self._beat_path)
            if node.owner != self._store.session_id:
                return RETRY_S
            self._beat = node.version
        if self._guard is None:
            self._guard = await self._adopted()
            if self._guard is None:
                return PERIOD_S
        sent_s = self._clock.now_s()
        await self._commit(self._guard, self._beat)
        took_s = self._clock.now_s() - sent_s
        if took_s > self._settings.r_max_s:
            self._tell("heartbeat_too_slow")
            return 0.0
        # safety: nothing is awaited from the commit's answer to here, and no other task pets. So
        # each pet belongs to one heartbeat that was committed before it, and before any conviction;
        # however long the process is stopped in between, an armed device fires meanwhile.
        return self._pet()

    async def _adopted(self) -> int | None:
        """Read the guard; return the version to beat under, None: this boot may not live.

        safety: a version is taken over only together with the right that it was read with. To go on
        with whatever version is there would commit heartbeats after this boot's own conviction. A
        stale read is harmless: the commit checks the version.
        """
        guard = await self._store.get(self._guard_path)
        incident = shut_out_by(guard, self._registration.facts.boot_id)
        if incident is None:
            return guard.version
        self._tell("heartbeat_shut_out", incident=incident)
        return None

    async def _commit(self, guard: int, beat: int) -> None:
        """Commit one heartbeat, and with it what is newly said of this host.

        safety: what is said of the watchdog is committed like a heartbeat, so never after this
        boot's conviction, and only once the device is armed. So a conviction that finds it in
        ``self`` finds an armed device. Written apart, it could be said of a device that a process,
        stopped for long after its heartbeat, opened only after the conviction.
        """
        facts = self._registration.facts
        renewal = () if self._is_said() else await self._registration.renewal()
        count = beat + 1
        content = Heartbeat(boot_id=facts.boot_id, count=count)
        data = encode(self._beat_path, content)
        await self._store.commit(
            [
                CheckVersion(path=self._guard_path, version=guard),
                SetData(path=self._beat_path, data=data, version=beat),
                *renewal,
            ]
        )
        self._beat, self._said = count, facts
        if renewal:
            self._registration.tell_renewed()

    def _is_said(self) -> bool:
        """Say whether what is to be said of this host was committed with a beat."""
        return self._said == self._registration.facts

    def _pet(self) -> float:
        """Pet the device, open it before; return after how many seconds to beat again."""
        if self._is_leaving:
            return self._period_s
        try:
            if self._watchdog.is_open:
                self._watchdog.pet()
                self._told = ""
                return self._period_s
            # safety: opening is a pet too, so it comes after a guarded heartbeat like any other.
            return self._arm(self._watchdog.open(self._settings.timeout_s))
        except WatchdogError as error:
            # A device that does not obey proves nothing: it is said no more of this host.
            self._registration.say_watchdog(None)
            self._tell("watchdog_failed", why=error.why)
            return self._period_s

    def _arm(self, timeout_s: float) -> float:
        kind = self._watchdog.kind()
        self._period_s = beat_period_s(timeout_s)
        self._registration.say_watchdog(
            WatchdogFacts(
                timeout_s=timeout_s,
                r_max_s=self._settings.r_max_s,
                is_soft=kind.is_soft,
                nowayout=kind.nowayout,
                identity=kind.identity,
            )
        )
        self._tell("watchdog_armed", timeout_s=timeout_s, identity=kind.identity)
        # At once, so that it is said.
        return 0.0

    def _forget(self) -> None:
        """Read everything again before the next heartbeat."""
        self._guard = self._beat = None
        self._said = None

    def _tell(self, event: str, **facts: object) -> None:
        """Log an event unless it is the one that was logged last."""
        line = f"{event} {facts}"
        if line != self._told:
            self._told = line
            self._log.info(event, **facts)
