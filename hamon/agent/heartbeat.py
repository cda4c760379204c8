"""The heartbeat process: ``python -m hamon.agent.heartbeat --config agent.toml``.

Small on purpose: it says that this boot lives, answers probes, and touches no guest.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

from hamon.agent.config import AgentConfig, load_config
from hamon.agent.echo import EchoServer
from hamon.agent.events import EventLog, JsonEventLog
from hamon.agent.guarded_heartbeat import GuardedHeartbeat
from hamon.agent.host_files import read_leaving
from hamon.agent.login import identities, store_settings
from hamon.agent.registration import Registration
from hamon.agent.service import (
    CONFIG_ERROR_STATUS,
    Reload,
    feed_watchdog,
    run_until_stopped,
    serve,
)
from hamon.agent.session_file import SessionFile
from hamon.agent.watchdog_device import WatchdogDevice
from hamon.clock import SystemClock
from hamon.coordination.zookeeper import ZooKeeperStore
from hamon.errors import AccessDeniedError, ConfigError, WatchdogError
from hamon.model.host import HostSelf
from hamon.ports.store import SessionState
from hamon.ports.watchdog import Watchdog
from hamon.service_manager import notify, notify_ready

LEAVING_PERIOD_S = 0.2


async def run(config: AgentConfig, clock: SystemClock, log: EventLog, reload: Reload) -> None:
    """Be the heartbeat of this host until SIGTERM.

    Raises:
        ConfigError: something in the configuration cannot be used.
        AccessDeniedError: ZooKeeper refused this host's identity.
    """
    boot_id = config.boot_id()
    with contextlib.closing(SessionFile(config.folders.run_dir, boot_id)) as session_file:
        await _beat(config, clock, log, reload, session_file)


async def _beat(
    config: AgentConfig,
    clock: SystemClock,
    log: EventLog,
    reload: Reload,
    session_file: SessionFile,
) -> None:
    boot_id = config.boot_id()
    former = session_file.read()
    store = ZooKeeperStore(store_settings(config, resume=former))

    def remember(state: SessionState) -> None:
        if state is SessionState.CONNECTED:
            session_file.write(store.credentials)

    store.on_state(remember)
    registration = Registration(
        store=store,
        clock=clock,
        log=log,
        host=config.host,
        facts=HostSelf(
            boot_id=boot_id,
            product_uuid=config.machine_uuid(),
            addresses=config.planes,
            agent_version=installed_version(),
        ),
        identities=identities(config),
        former_session=former.session_id if former is not None else 0,
        is_guarded=config.watchdog is not None,
    )
    guarded = _guarded(config, registration, store, clock, log)
    echo = EchoServer(
        addresses=config.planes,
        port=config.echo_port,
        host=config.host,
        boot_id=boot_id,
        clock=clock,
        log=log,
    )
    notify_ready()
    leaving_file = config.folders.run_dir / "leaving"
    try:
        await run_until_stopped(
            reload,
            _register(store, guarded or registration),
            echo.run(),
            _follow_leaving(registration, leaving_file, clock),
            feed_watchdog(clock),
        )
    finally:
        if read_leaving(leaving_file) is not None:
            # Announced: the host goes on purpose, and nobody has to wait for the session's end.
            if guarded is not None:
                await guarded.leave()
            await store.close()
            session_file.remove()
        else:
            # A restart, reload or upgrade: what comes next goes on with the session. A
            # watchdog stays armed meanwhile: the next process has one time-out of it to beat.
            if guarded is not None:
                guarded.hand_over()
            await store.detach()


def installed_version() -> str:
    """Tell hamon's version as installed; "" when it runs from a checkout.

    From the name of the folder: importlib.metadata would cost this process more than a megabyte.
    """
    for folder in sys.path:
        for distribution in Path(folder).glob("hamon-*.dist-info"):
            return distribution.name.removeprefix("hamon-").removesuffix(".dist-info")
    return ""


def _guarded(
    config: AgentConfig,
    registration: Registration,
    store: ZooKeeperStore,
    clock: SystemClock,
    log: EventLog,
) -> GuardedHeartbeat | None:
    """Return the heartbeat that pets the watchdog; None: no watchdog is used.

    Raises:
        ConfigError: the device is not there, or it is one that was not accepted.
    """
    if config.watchdog is None:
        return None
    device = WatchdogDevice(config.watchdog.device)
    refuse_unaccepted(device, config)
    return GuardedHeartbeat(
        registration=registration,
        store=store,
        watchdog=device,
        settings=config.watchdog.settings,
        clock=clock,
        log=log,
        host=config.host,
    )


def refuse_unaccepted(watchdog: Watchdog, config: AgentConfig) -> None:
    """Refuse a device that would not do, before it is opened: that would arm it.

    Raises:
        ConfigError: it is not there, or it is a software watchdog that nobody accepted.
    """
    try:
        kind = watchdog.kind()
    except WatchdogError as error:
        raise config.error("watchdog.device", error.why) from error
    is_accepted = config.watchdog is not None and config.watchdog.allow_soft
    if kind.is_soft and not is_accepted:
        why = (
            "it is a software watchdog, which dies with the kernel that it should reset: load the"
            " driver of a real one, or accept it with allow_soft = true"
        )
        raise config.error("watchdog.device", why)


async def _register(store: ZooKeeperStore, registered: Registration | GuardedHeartbeat) -> None:
    await store.start()
    await registered.run()


async def _follow_leaving(registration: Registration, path: Path, clock: SystemClock) -> None:
    while True:
        registration.announce(read_leaving(path))
        await clock.sleep(LEAVING_PERIOD_S)


def main(arguments: list[str]) -> int:
    """Run the process; return its exit code."""
    parser = argparse.ArgumentParser(prog="hamon.agent.heartbeat", description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("/etc/hamon/agent.toml"))
    clock = SystemClock()
    log: EventLog = JsonEventLog(sys.stderr, clock)
    try:
        config = load_config(parser.parse_args(arguments).config)
        log = JsonEventLog(sys.stderr, clock, host=config.host)
        reload = Reload(config, log)
        serve(reload, lambda present: run(present, clock, log, reload))
        notify("STOPPING=1")
    except ConfigError as error:
        log.error("agent_refused_to_start", why=str(error))  # noqa: TRY400 - the cause is in it
        return CONFIG_ERROR_STATUS
    except AccessDeniedError as error:
        # To be started again: a heartbeat that stays away for good is taken for a dead host.
        log.error("agent_ended", why=str(error))  # noqa: TRY400 - the cause is in it
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
