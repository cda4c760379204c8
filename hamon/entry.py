"""What the command line starts: a daemon, a lone controller, bootstrap, removal of a host."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from hamon.assembly import SOCKET_NAME, Daemon
from hamon.coordination.access import Identities
from hamon.coordination.bootstrap import bootstrap, remove_host
from hamon.coordination.zookeeper import ZooKeeperStore
from hamon.ensemble import chroot_of, controllers_identity, store_settings
from hamon.errors import ConfigError, HamonError
from hamon.hang_up import HangUp
from hamon.model.names import ControllerId, HostName
from hamon.service_manager import notify, notify_reloading
from hamon.settings.reread import reread
from hamon.settings.values import Settings

_log = structlog.get_logger()


def run_daemon(settings: Settings) -> int:
    """Run a controller until SIGTERM or SIGINT; return its exit code.

    At SIGHUP the configuration is read again. It is checked whole: one that cannot be used changes
    nothing, and what is wrong with it is logged. With one that can the controller starts anew in
    this process; if it led, another one may lead then.

    Raises:
        HamonError: it cannot start or go on; says why.
    """
    hang_up = HangUp()
    present: Settings | None = settings
    fallback: Settings | None = None
    try:
        while present is not None:
            following = asyncio.run(_serve(present, fallback, hang_up))
            fallback = None if following is fallback else present
            present = following
    except* HamonError as group:
        raise _first(group) from None
    notify("STOPPING=1")
    return 0


async def _serve(settings: Settings, fallback: Settings | None, hang_up: HangUp) -> Settings | None:
    """Be a controller until told to end, None, or to go on with other settings.

    Args:
        settings: to go by.
        fallback: to go on with when those cannot be used after all, None: that is an error.
        hang_up: has the configuration read again.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(Daemon(settings).run())
    following: list[Settings] = []
    is_over = asyncio.Event()

    is_asked = asyncio.Event()

    def stop() -> None:
        # Once: a second time would cut short what ends a session in order.
        if not task.cancelling():
            task.cancel()

    async def reload() -> None:
        while is_asked.is_set():
            is_asked.clear()
            # Reading a thousand hosts takes a while, and the loop has to come round.
            latest = following[-1] if following else settings
            found = await loop.run_in_executor(None, reread, latest)
            if found is not None:
                following.append(found)
                notify_reloading()
                stop()

    reloads: set[asyncio.Task[None]] = set()

    def begin_reload() -> None:
        is_asked.set()
        if not reloads:
            reloading = asyncio.ensure_future(reload())
            reloads.add(reloading)
            reloading.add_done_callback(reloads.discard)

    def end() -> None:
        is_over.set()
        stop()

    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, end)
    hang_up.follow(begin_reload)
    try:
        await task
    except asyncio.CancelledError:
        if following and reloads:
            # Somebody was quicker than the end of the former work: the last word counts.
            await asyncio.wait(reloads)
        return following[-1] if following and not is_over.is_set() else None
    except ConfigError as error:
        # Of what is only found when it is used, as a fence device's options.
        if fallback is None:
            raise
        _log.error("settings_refused", path=error.path, key=error.key, why=error.why)
        return fallback
    return None


def run_standalone(settings: Settings, host: HostName, ask: Callable[[Path], int]) -> int:
    """Be a controller for one host while ``ask`` runs, then resign.

    An ordinary contender: election, epoch, journal, fencing; only that it thinks about no other
    host, and serves its socket in a folder of its own.

    Args:
        settings: the checked configuration.
        host: the host to act on.
        ask: called with the path of the socket once this controller leads; its result is returned.

    Raises:
        RequestRefusedError: another controller is registered.
        HamonError: it cannot start; says why.
    """
    with tempfile.TemporaryDirectory(prefix="hamon-") as folder:
        own = replace(
            settings,
            run_dir=Path(folder),
            controller=ControllerId(f"{settings.controller}-standalone"),
            metrics=replace(settings.metrics, address=""),
        )
        aside = _Aside(own, host)
        aside.start()
        try:
            # In this thread, so that Ctrl-C reaches whoever asks.
            return ask(Path(folder) / SOCKET_NAME)
        finally:
            aside.stop()


class _Aside:
    """A stand-alone controller in a thread of its own."""

    def __init__(self, settings: Settings, host: HostName) -> None:
        self._settings = settings
        self._host = host
        self._begun = threading.Event()
        self._error: HamonError | None = None
        self._stop: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=self._run, name="standalone", daemon=True)

    def start(self) -> None:
        """Start it; return when it leads and is fit to be asked.

        Raises:
            HamonError: it cannot; says why.
        """
        self._thread.start()
        self._begun.wait()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Have it resign and end."""
        self._stop()
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except* HamonError as group:
            self._error = _first(group)
        finally:
            self._begun.set()

    async def _serve(self) -> None:
        task = asyncio.ensure_future(Daemon(self._settings, self._host, self._begun.set).run())
        loop = asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _first(group: BaseExceptionGroup[HamonError]) -> HamonError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, HamonError)
    return error


def run_bootstrap(settings: Settings) -> None:
    """Make the cluster's chroot with its final access rules; idempotent.

    Raises:
        RequestRefusedError: something else, or a newer hamon's, is there.
        StoreError: ZooKeeper cannot be reached or refuses.
        ConfigError: something configured cannot be used.
    """

    async def make() -> None:
        store = ZooKeeperStore(store_settings(settings, "/"))
        await store.start(timeout_s=4 * settings.zookeeper.session_timeout_s)
        try:
            identities = Identities(controllers=controllers_identity(settings))
            await bootstrap(store, chroot_of(settings.cluster), identities)
        finally:
            await store.close()

    asyncio.run(make())


def run_remove_host(settings: Settings, host: HostName) -> None:
    """Remove everything ZooKeeper holds of a host that serves no more.

    Raises:
        RequestRefusedError: the host is still in use; says by what.
        StoreError: ZooKeeper cannot be reached or refuses.
        ConfigError: something configured cannot be used.
    """

    async def remove() -> None:
        store = ZooKeeperStore(store_settings(settings, chroot_of(settings.cluster)))
        await store.start(timeout_s=4 * settings.zookeeper.session_timeout_s)
        try:
            await remove_host(store, host)
        finally:
            await store.close()

    asyncio.run(remove())
