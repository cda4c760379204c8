"""ZooKeeper: each server by itself, its version, the session it grants, the access rules."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator

from hamon.clock import SystemClock
from hamon.coordination.access import identities_of, verify_access
from hamon.coordination.cluster import ZooKeeperCluster
from hamon.coordination.session import StoreSettings
from hamon.coordination.zookeeper import ZooKeeperStore
from hamon.doctor.finding import Finding, fault, good, warning
from hamon.ensemble import chroot_of, controllers_identity, store_settings
from hamon.errors import ConfigError, StoreError
from hamon.model.stored import StoredCluster
from hamon.settings.values import Settings

AREA = "ZooKeeper"
WORD_TIMEOUT_S = 3.0
PICTURE_WITHIN_S = 30.0

FIXED_IN = {(3, 8): (3, 8, 6), (3, 9): (3, 9, 5)}
"""By series, the first release without known holes (CVE-2026-24281, CVE-2026-24308)."""

_VERSION = re.compile(r"Zookeeper version: (\d+)\.(\d+)\.(\d+)")
_MODE = re.compile(r"^Mode: (\w+)$", re.MULTILINE)


async def examine(settings: Settings) -> tuple[list[Finding], StoredCluster | None]:
    """Look at the ensemble; return what was found, and the cluster as it holds it, None: unread.

    Changes nothing.

    Args:
        settings: the controller's.
    """
    found = await _servers(settings)
    wanted = store_settings(settings, chroot_of(settings.cluster))
    try:
        store = ZooKeeperStore(wanted)
        await store.start(4 * settings.zookeeper.session_timeout_s)
    except ConfigError as error:
        return [
            *found,
            fault(AREA, str(error), "run `hamon bootstrap` once, on one controller"),
        ], None
    except StoreError as error:
        return [*found, fault(AREA, f"no session: {error.why}", _about_login(settings))], None
    try:
        found.append(good(AREA, f"a session of {wanted.session_timeout_s:g} s is granted"))
        found += await _rules(settings, store)
        return found, await _picture(settings, store)
    finally:
        await store.close()


async def _servers(settings: Settings) -> list[Finding]:
    base = store_settings(settings, "/")
    words = await asyncio.gather(
        *(asyncio.to_thread(_ask, server, base) for server in base.servers)
    )
    found = []
    modes = []
    for server, word in zip(base.servers, words, strict=True):
        mode = _MODE.search(word)
        if mode is None:
            why = word.strip() or "it serves nobody, or 4lw.commands.whitelist leaves srvr out"
            found.append(fault(AREA, f"{server}: {why}", "is it running, and is its port open?"))
            continue
        modes.append(mode[1])
        found += of_version(server, mode[1], word)
    if len(base.servers) == 1:
        advice = "use three or five servers: with this one everything stands still"
        found.append(warning(AREA, "there is one server only", advice))
    elif len(base.servers) % 2 == 0:
        advice = "an even number bears no more losses than one server fewer"
        found.append(warning(AREA, f"there are {len(base.servers)} servers", advice))
    if modes and modes.count("leader") + modes.count("standalone") != 1:
        found.append(fault(AREA, f"there is not one leader: {', '.join(modes)}"))
    return found


def of_version(server: str, mode: str, word: str) -> Iterator[Finding]:
    """Judge the version of a server.

    Args:
        server: its address.
        mode: leader, follower or standalone.
        word: its answer to ``srvr``.
    """
    match = _VERSION.search(word)
    if match is None:
        yield warning(AREA, f"{server}: {mode}, of a version that it does not tell")
        return
    version = (int(match[1]), int(match[2]), int(match[3]))
    told = ".".join(map(str, version))
    least = FIXED_IN.get(version[:2])
    if version < (3, 8, 0):
        yield fault(AREA, f"{server}: {mode}, version {told}", "hamon needs 3.8 or newer")
    elif least is not None and version < least:
        yield warning(
            AREA,
            f"{server}: {mode}, version {told}",
            f"{'.'.join(map(str, least))} mends known holes, unless your distribution has"
            " mended them in this one",
        )
    else:
        yield good(AREA, f"{server}: {mode}, version {told}")


def _ask(server: str, settings: StoreSettings) -> str:
    """Send a server the word that it answers unless told otherwise; return what it says, or why."""
    host, _, port = server.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        with socket.create_connection((host, int(port)), timeout=WORD_TIMEOUT_S) as plain:
            connection = plain
            if settings.tls is not None:
                connection = settings.tls.context().wrap_socket(plain, server_hostname=host)
            connection.sendall(b"srvr")
            answer = b""
            while part := connection.recv(4096):
                answer += part
    except OSError as error:
        return f"{error.strerror or error}"
    except ConfigError as error:
        return str(error)
    return answer.decode(errors="replace")


async def _rules(settings: Settings, store: ZooKeeperStore) -> list[Finding]:
    identities = identities_of(controllers_identity(settings), settings.hosts)
    try:
        deviations = await verify_access(store, identities)
    except StoreError as error:
        return [fault(AREA, f"the access rules could not be read: {error.why}")]
    if not deviations:
        return [good(AREA, "every znode has the access rules it must have")]
    advice = "somebody else may have written there: find out who, before you make them right"
    return [fault(AREA, f"{each.path}: {each.why}", advice) for each in deviations]


async def _picture(settings: Settings, store: ZooKeeperStore) -> StoredCluster | None:
    clock = SystemClock()
    cluster = ZooKeeperCluster(
        store, clock, settings.controller, settings.hosts, controllers_identity(settings)
    )
    cluster.start()
    try:
        until_s = clock.now_s() + PICTURE_WITHIN_S
        while (picture := cluster.picture()) is None and clock.now_s() < until_s:
            await clock.sleep(0.05)
        return picture
    finally:
        await cluster.stop()


def _about_login(settings: Settings) -> str:
    if settings.zookeeper.password_file is None:
        return "do the servers trust this certificate (ssl.trustStore, authProvider.x509)?"
    return "is a majority of the servers running, and is it the right password?"
