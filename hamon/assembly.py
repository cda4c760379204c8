"""The composition root: builds a controller from its settings and runs it.

The only place where the engine meets the adapters. Nothing is decided here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from hamon import __version__
from hamon.clock import SystemClock
from hamon.coordination.access import Identities
from hamon.coordination.cluster import ZooKeeperCluster
from hamon.coordination.election import Election
from hamon.coordination.highest import HighestSeen
from hamon.coordination.zookeeper import ZooKeeperStore
from hamon.detector.knocking import Knocker, KnockingPace
from hamon.detector.probe import TcpProbe
from hamon.engine.cloud_calls import CloudCalls
from hamon.engine.cloud_desk import CloudDesk
from hamon.engine.cloud_picture import CloudPicture
from hamon.engine.deadman import DeadMan
from hamon.engine.desk import Desk
from hamon.engine.executing import Devices, Executor
from hamon.engine.fence_checks import FenceChecks
from hamon.engine.fence_desk import FenceDesk
from hamon.engine.health import OwnHealth
from hamon.engine.local_socket import LocalSocket
from hamon.engine.loop import Engine, Round
from hamon.engine.memory import Memory
from hamon.engine.notices import Notices
from hamon.engine.observing import Observer
from hamon.engine.outside import Outside
from hamon.engine.ports import Witness
from hamon.engine.reporting import Reporter
from hamon.ensemble import chroot_of, controllers_identity, store_settings
from hamon.errors import ConfigError, RequestRefusedError
from hamon.evacuator.cloud.pacing import Pace
from hamon.exposition import serve_metrics
from hamon.fencing.devices import DeviceBuilder
from hamon.fencing.measured import MeasuredDevice
from hamon.metrics.instruments import Instruments
from hamon.model.names import HostName
from hamon.model.policy import Policy
from hamon.model.readings import identity_of
from hamon.model.view import ClusterView
from hamon.ports.store import SessionState
from hamon.service_manager import notify, notify_ready
from hamon.settings.values import Settings
from hamon.webhook import Webhook
from hamon.witnesses import watch_all, witnesses_of

_log = structlog.get_logger()

SOCKET_NAME = "control.sock"
"""The daemon's Unix socket, in ``cluster.run_dir``."""

ROUND_DEADLINE_S = 5.0
"""A round that takes longer is stuck: every call in it has a shorter deadline of its own."""

STALLED_ROUNDS = 3
"""After this many deadlines without a finished round the daemon ends itself (DESIGN §3)."""


class Daemon:
    """One controller, wired.

    Args:
        settings: the checked configuration.
        only_host: act on this host only, and only where no other controller is registered.
        on_fit: called after each round in which this controller led and was fit to act.
    """

    def __init__(
        self,
        settings: Settings,
        only_host: HostName | None = None,
        on_fit: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._only_host = only_host
        self._on_fit = on_fit
        self._clock = SystemClock()
        self._wake = asyncio.Event()
        self._memory = Memory()
        self._registry = CollectorRegistry()
        self._instruments = Instruments(
            self._registry,
            version=__version__,
            policy_hash=settings.digest,
            evacuation=settings.policy.evacuation,
        )
        self._deadman = DeadMan(self._clock.now_s, STALLED_ROUNDS * ROUND_DEADLINE_S)
        self._stack = contextlib.AsyncExitStack()
        self._is_ready = False
        self._is_connected = False
        self._view: ClusterView | None = None
        self._notices = Notices(settings.cluster, settings.policy.evacuation)
        self._webhook: Webhook | None = None

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            ConfigError: something configured cannot be used.
            StoreError: ZooKeeper refuses this controller.
        """
        async with self._stack:
            engine = await self._build()
            self._deadman.start()
            self._stack.callback(self._deadman.stop)
            await engine.run()

    async def _build(self) -> Engine:
        settings, stack = self._settings, self._stack
        _make_folder(settings.state_dir)
        _make_folder(settings.run_dir)
        if settings.metrics.address:
            endpoint = serve_metrics(
                self._registry,
                settings.metrics,
                config_path=str(settings.path),
                is_healthy=lambda: not self._deadman.stands_still,
                is_ready=lambda: self._is_connected and self._view is not None,
                on_trouble=lambda why: _log.warning("metrics_certificate_not_read", why=why),
            )
            stack.callback(endpoint.close)
        if settings.webhook is not None and self._only_host is None:
            self._webhook = Webhook(settings.webhook, self._instruments.count_notice)
            stack.callback(self._webhook.close)
        devices = await self._devices()
        store = ZooKeeperStore(
            store_settings(settings, chroot_of(settings.cluster)),
            on_call=partial(self._instruments.observe_call, "zookeeper"),
        )
        store.on_state(self._session_changed)
        stack.push_async_callback(store.close)
        identity = controllers_identity(settings)
        cluster = ZooKeeperCluster(
            store, self._clock, settings.controller, settings.hosts, identity
        )
        stack.push_async_callback(cluster.stop)
        cloud = self._cloud()
        witnesses = await witnesses_of(
            settings, self._clock, self._wake.set, self._instruments, stack
        )
        checks = self._checks(devices)
        outside = Outside(self._clock, cloud.picture if cloud is not None else None, checks)
        engine = self._engine(
            store, cluster, devices, cloud, witnesses, Identities(controllers=identity), outside
        )
        stack.push_async_callback(engine.close)
        # Before ZooKeeper is reached, so that whoever asks is told that it is not.
        await self._open_socket(engine, cluster, cloud, checks)
        _log.info("zookeeper_connecting", servers=",".join(settings.zookeeper.servers))
        await store.start()
        cluster.start()
        if self._only_host is not None:
            await self._refuse_company(cluster)
        return engine

    def _engine(
        self,
        store: ZooKeeperStore,
        cluster: ZooKeeperCluster,
        devices: Devices,
        cloud: CloudCalls | None,
        witnesses: tuple[Witness, ...],
        identities: Identities,
        outside: Outside,
    ) -> Engine:
        settings = self._settings
        knocker = self._knocker()
        self._stack.push_async_callback(knocker.close)
        health = OwnHealth(
            self._clock,
            lag_max_s=settings.policy.holds.tick_lag_max_s,
            session_timeout_s=settings.zookeeper.session_timeout_s,
            asleep_s=_asleep_s,
        )
        return Engine(
            cluster=cluster,
            election=Election(store, settings.controller, identities, self._clock),
            observer=Observer(
                cluster,
                knocker,
                self._memory,
                self._clock,
                settings.hosts,
                cloud.picture if cloud is not None else None,
                witnesses=witnesses,
            ),
            executor=self._executor(devices, cloud),
            reporter=Reporter(
                cluster,
                knocker,
                health,
                self._clock,
                controller=settings.controller,
                policy_hash=settings.digest,
                version=__version__,
                outside=outside,
            ),
            health=health,
            clock=self._clock,
            policy=settings.policy,
            specs=settings.hosts,
            controller=settings.controller,
            wake=self._wake,
            highest=HighestSeen(settings.state_dir / "highest.json"),
            on_round=self._came_round,
            only_host=self._only_host,
        )

    async def _open_socket(
        self,
        engine: Engine,
        cluster: ZooKeeperCluster,
        cloud: CloudCalls | None,
        checks: FenceChecks,
    ) -> None:
        policy = self._settings.policy
        about_nova = None
        if cloud is not None:
            about_nova = CloudDesk(cloud.cloud, cloud.picture, policy.evacuation)
        about_fencing = FenceDesk(checks)
        desk = Desk(lambda: engine.last, cluster, policy, self._clock, about_nova, about_fencing)
        local = LocalSocket(self._settings.run_dir / SOCKET_NAME, desk.handle)
        await local.start()
        self._stack.push_async_callback(local.close)

    def _checks(self, devices: Devices) -> FenceChecks:
        """Begin to ask the fence devices on their schedule."""
        policy = self._settings.policy
        checks = FenceChecks(
            devices,
            self._identity,
            self._memory,
            self._clock,
            period_s=policy.fencing.check_period_s,
            timeout_s=policy.detection.look_timeout_s,
        )
        self._stack.callback(asyncio.create_task(checks.run(), name="fence checks").cancel)
        return checks

    def _identity(self, host: HostName) -> str:
        """Return the system uuid that devices of a host must answer for, "": not known."""
        seen = self._view.hosts.get(host) if self._view is not None else None
        if seen is not None:
            return identity_of(seen)
        return next((s.product_uuid for s in self._settings.hosts if s.name == host), "")

    async def _refuse_company(self, cluster: ZooKeeperCluster) -> None:
        """Stand alone only: a registered controller does all that this one would.

        Raises:
            RequestRefusedError: another controller is registered, or ZooKeeper does not answer.
        """
        until_s = self._clock.now_s() + 4 * self._settings.zookeeper.session_timeout_s
        while (picture := cluster.picture()) is None:
            if self._clock.now_s() > until_s:
                msg = "ZooKeeper was not read in time"
                raise RequestRefusedError(msg, "check that a majority of its servers answers")
            await self._clock.sleep(0.05)
        if picture.controllers:
            names = ", ".join(sorted(picture.controllers))
            msg = f"controllers are registered: {names}"
            raise RequestRefusedError(msg, "run the command without --standalone on one of them")

    async def _devices(self) -> Devices:
        builder = DeviceBuilder(self._clock, self._identity)
        return {
            spec.name: {
                device.spec.name: MeasuredDevice(device, self._instruments, self._clock)
                for device in await builder.build(spec)
            }
            for spec in self._settings.hosts
        }

    def _knocker(self) -> Knocker:
        knocker = Knocker(
            TcpProbe(),
            self._clock,
            observer=self._settings.controller,
            pace=pace_of(self._settings.policy),
            on_change=lambda _host: self._wake.set(),
        )
        watch_all(knocker, self._settings.hosts)
        return knocker

    def _cloud(self) -> CloudCalls | None:
        """Return the calls to Nova where there is one; asks no network yet.

        Raises:
            ConfigError: a secret cannot be read.
        """
        settings = self._settings
        if settings.nova is None:
            return None
        # Only here, because a libvirt cluster needs no client of Nova installed.
        from hamon.backends.nova.before_gate import BeforeGateProgram  # noqa: PLC0415
        from hamon.backends.nova.cloud import NovaCloud  # noqa: PLC0415

        nova = NovaCloud(settings.nova, self._clock)
        self._stack.callback(nova.close)
        self._instruments.watch_stuck_workers("nova", lambda: nova.stuck)
        evacuation, recovery = settings.policy.evacuation, settings.policy.recovery
        program = BeforeGateProgram(recovery.before_gate, recovery.before_gate_timeout_s)
        pace = Pace(window=evacuation.in_flight_start, limit=evacuation.in_flight_max)
        return CloudCalls(
            nova,
            CloudPicture(pace),
            self._clock,
            self._wake.set,
            on_call=partial(self._instruments.observe_call, "nova"),
            before_gate=program if recovery.before_gate else None,
        )

    def _executor(self, devices: Devices, cloud: CloudCalls | None) -> Executor:
        policy = self._settings.policy
        return Executor(
            self._memory,
            devices,
            self._clock,
            self._wake.set,
            lease_s=policy.fencing.lease_s,
            look_timeout_s=policy.detection.look_timeout_s,
            on_change=self._instruments.observe_change,
            probe=TcpProbe(),
            cloud=cloud,
        )

    def _session_changed(self, state: SessionState) -> None:
        self._is_connected = state is SessionState.CONNECTED
        self._instruments.observe_session(state)
        _log.info("zookeeper_session", state=state)

    def _came_round(self, finished: Round) -> None:
        self._deadman.came_round()
        self._view = finished.view
        now_s = self._clock.now_s()
        own = finished.view.own if finished.view is not None else None
        self._instruments.observe_lag(finished.lag_s)
        self._instruments.observe_leadership(
            own.epoch if own is not None and finished.is_leading else None
        )
        if finished.view is not None:
            self._instruments.observe_view(finished.view, now_s)
        self._tell_others(finished)
        if finished.is_leading:
            self._instruments.observe_tick(finished.decision, finished.ended_s - finished.started_s)
            _log_round(finished)
            if own is not None and own.is_session_proven and own.lagged_s is None:
                self._on_fit()
        if not self._is_ready:
            self._is_ready = True
            notify_ready()
        notify("WATCHDOG=1")

    def _tell_others(self, finished: Round) -> None:
        if self._webhook is None:
            return
        if not finished.is_leading or finished.view is None:
            self._notices.leave_office()
            return
        now_s = self._clock.now_s()
        for notice in self._notices.advance(finished.view, finished.decision, now_s):
            self._webhook.tell(notice)


def _log_round(finished: Round) -> None:
    """Write the one canonical line of a round that did something."""
    decision = finished.decision
    if not finished.written and not decision.intents:
        return
    _log.info(
        "tick_finished",
        duration_s=round(finished.ended_s - finished.started_s, 4),
        written=finished.written,
        transitions=len(decision.transitions),
        intents=len(decision.intents),
        looks=len(decision.looks),
        reasons=len(decision.reasons),
    )


def pace_of(policy: Policy) -> KnockingPace:
    """Return how often the planes are knocked at."""
    detection = policy.detection
    return KnockingPace(period_s=detection.probe_period_s, late_after_s=detection.late_after_s)


def _asleep_s() -> float:
    """Return how long this machine has been suspended since its boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o750)
    except OSError as error:
        raise ConfigError(str(path), "", f"cannot be made: {error.strerror}") from error
