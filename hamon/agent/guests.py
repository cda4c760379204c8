"""The guests process: ``python -m hamon.agent.guests --config agent.toml``.

The only process that opens this host's libvirt.
"""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import contextlib
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry

from hamon import __version__
from hamon.agent.config import AgentConfig, load_config
from hamon.agent.context import AgentContext, CheckSources, PathCheck
from hamon.agent.events import EventLog, JsonEventLog
from hamon.agent.guests_agent import GuestsAgent
from hamon.agent.hook_files import is_hook_installed
from hamon.agent.host_files import FileHostFiles
from hamon.agent.links import link_trouble
from hamon.agent.login import identities, store_settings
from hamon.agent.metered import MeteredEventLog
from hamon.agent.permits import FilePermits
from hamon.agent.service import (
    CONFIG_ERROR_STATUS,
    Reload,
    feed_watchdog,
    run_until_stopped,
    serve,
)
from hamon.agent.storage_beats import StorageBeats
from hamon.backends.libvirt.definition import SharedStorage
from hamon.backends.libvirt.hypervisor import LibvirtHypervisor
from hamon.backends.libvirt.processes import kill_guests
from hamon.clock import SystemClock
from hamon.coordination.zookeeper import ZooKeeperStore
from hamon.errors import AccessDeniedError, ConfigError
from hamon.exposition import serve_metrics
from hamon.metrics.agent import AgentInstruments
from hamon.ports.store import SessionState
from hamon.service_manager import notify, notify_ready

PATH_TIMEOUT_S = 5.0
PATH_WORKERS = 4

ROUND_MAX_S = 60.0
"""A process that reads ZooKeeper, and for so long not what it may do, does not get on."""


async def run(config: AgentConfig, clock: SystemClock, log: EventLog, reload: Reload) -> None:
    """Take care of this host's guests until SIGTERM; they run on afterwards.

    Raises:
        ConfigError: something in the configuration cannot be used, or the gate is not installed.
        AccessDeniedError: ZooKeeper refused this host's identity.
    """
    boot_id = config.boot_id()
    if not is_hook_installed(config.libvirt_hooks_dir, config.folders, config.boot_id_file):
        # safety: without the gate a withdrawn permit stops nothing.
        why = "the hook is missing or was changed: run `hamon agent install-hook`"
        raise ConfigError(str(config.libvirt_hooks_dir), "", why)
    registry = CollectorRegistry()
    # The agent it asks is built from what it measures.
    instruments = AgentInstruments(
        registry, version=__version__, clock=clock, picture=lambda: agent.picture
    )
    store = ZooKeeperStore(
        store_settings(config), on_call=partial(instruments.observe_call, "zookeeper")
    )
    store.on_state(instruments.observe_session)
    hypervisor = LibvirtHypervisor(
        config.libvirt_uri,
        call_timeout_s=config.call_timeout_s,
        start_timeout_s=config.start_timeout_s,
    )
    instruments.watch_stuck_workers("libvirt", lambda: hypervisor.stuck_calls)
    beats = StorageBeats(
        config.heartbeats,
        config.host,
        boot_id,
        clock,
        period_s=config.heartbeat_period_s,
        late_after_s=config.heartbeat_late_s,
    )
    agent = GuestsAgent(
        AgentContext(
            host=config.host,
            boot_id=boot_id,
            backend=config.backend,
            store=store,
            hypervisor=hypervisor,
            permits=FilePermits(config.folders, boot_id),
            files=FileHostFiles(config.folders, boot_id),
            clock=clock,
            log=MeteredEventLog(log, instruments.count_event),
            shared=SharedStorage(paths=config.shared_paths, pools=config.shared_pools),
            identities=identities(config),
            readable_paths=path_check(PATH_TIMEOUT_S),
            kill_guests=partial(kill_guests, config.libvirt_run_dir),
            checks=CheckSources(
                period_s=config.checks_period_s,
                storage=beats.trouble,
                links=lambda: {link: link_trouble(link) for link in config.links},
            ),
        )
    )
    with _metrics_served(config, registry, agent, store, clock, log):
        notify_ready()
        try:
            await run_until_stopped(
                reload, _connect(store), agent.run(), beats.run(), feed_watchdog(clock)
            )
        finally:
            await store.close()
            await hypervisor.close()


@contextlib.contextmanager
def _metrics_served(
    config: AgentConfig,
    registry: CollectorRegistry,
    agent: GuestsAgent,
    store: ZooKeeperStore,
    clock: SystemClock,
    log: EventLog,
) -> Iterator[None]:
    """Serve the metrics of this process, where that is configured.

    Raises:
        ConfigError: the port is taken, or a file cannot be used.
    """
    if not config.metrics.address:
        yield
        return

    def is_healthy() -> bool:
        # Without ZooKeeper no round is read whole, and that is no fault of this process.
        read_s = agent.picture.round_s
        is_connected = store.state is SessionState.CONNECTED
        return not is_connected or read_s is None or clock.now_s() - read_s < ROUND_MAX_S

    endpoint = serve_metrics(
        registry,
        config.metrics,
        config_path=str(config.path),
        is_healthy=is_healthy,
        is_ready=lambda: agent.picture.is_libvirt_healthy and store.state is SessionState.CONNECTED,
        on_trouble=lambda why: log.warning("metrics_certificate_not_read", why=why),
    )
    try:
        yield
    finally:
        endpoint.close()


async def _connect(store: ZooKeeperStore) -> None:
    await store.start()
    # Whoever runs beside this waits for each other's end, and a session has none of its own.
    await asyncio.Event().wait()


def path_check(timeout_s: float) -> PathCheck:
    """Return a check of paths in threads of its own: a look at storage that is gone may hang."""
    pool = concurrent.futures.ThreadPoolExecutor(PATH_WORKERS, thread_name_prefix="paths")

    async def readable(paths: tuple[str, ...]) -> tuple[str, ...]:
        loop = asyncio.get_running_loop()
        looks = {path: loop.run_in_executor(pool, os.access, path, os.R_OK) for path in paths}
        if looks:
            await asyncio.wait(looks.values(), timeout=timeout_s)
        return tuple(path for path, look in looks.items() if look.done() and look.result())

    return readable


def main(arguments: list[str]) -> int:
    """Run the process; return its exit code."""
    parser = argparse.ArgumentParser(prog="hamon.agent.guests", description=__doc__)
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
        log.error("agent_ended", why=str(error))  # noqa: TRY400 - the cause is in it
        return 1
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    # Python would wait for threads that are stuck in libvirt or on storage that is gone.
    os._exit(status)
