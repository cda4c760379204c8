"""The whole of it for real: the heartbeat process, a real ZooKeeper, and a watchdog that fires.

The host is a guest of QEMU with an emulated Intel 6300ESB: it lives for as long as it may, and when
it is convicted it is gone within the time that a leader would wait.
"""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import kazoo
import msgspec
import pytest

import hamon
from hamon.coordination.access import CONTROLLERS_USER, Identities, digest_of, host_user
from hamon.coordination.bootstrap import bootstrap, enrol
from hamon.coordination.codec import decode, encode
from hamon.coordination.session import StoreSettings
from hamon.coordination.zookeeper import ZooKeeperStore
from hamon.errors import NodeMissingError
from hamon.fencing.watchdog import proof_time_s, unfit
from hamon.model.host import Heartbeat, HostGuard, HostSelf, HostSpec, Right, WatchdogFacts
from hamon.model.names import HostName
from hamon.ports.store import SetData
from tests.contract.watchdog_guest import command, copy, is_possible
from tests.ensemble import Ensemble

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.skipif(not is_possible(), reason="needs QEMU, gcc, cpio and Python 3.11"),
]

HOST = HostName("compute-1")
HOST_IN_GUEST = "10.0.2.2"
PASSWORD = "secret"
CONTROLLERS = digest_of(CONTROLLERS_USER, PASSWORD)
CLUSTER = "guest"
SESSION_S = 4.0
TIMEOUT_S, R_MAX_S = 10, 2.0
BEATS = 10
"""More than two time-outs of the device."""

WITHIN_S = 180.0
SELF, GUARD, HEARTBEAT = (f"/hosts/{HOST}/{name}" for name in ("self", "state", "alive/hb"))
STANDARD_LIBRARY = Path("/usr/lib/python3.11")
SCRIPT = Path(__file__).with_name("watchdog_guest_agent.py")


@pytest.fixture
def server() -> Iterator[str]:
    """Address of a ZooKeeper server."""
    ensemble = Ensemble(size=1, tick_ms=int(SESSION_S * 1000 / 20))
    try:
        ensemble.start()
        yield ensemble.addresses[0]
    finally:
        ensemble.stop()


@pytest.fixture
async def leader(server: str) -> AsyncIterator[ZooKeeperStore]:
    """A controller's session in a cluster in which the host is enrolled."""
    store = await connected(server, "/")
    await bootstrap(store, f"/hamon/{CLUSTER}", Identities(controllers=CONTROLLERS))
    await store.close()
    store = await connected(server, f"/hamon/{CLUSTER}")
    digest = digest_of(host_user(HOST), PASSWORD)
    spec = HostSpec(name=HOST, planes=(), fence=(), zookeeper_identity=digest)
    await enrol(store, [spec], CONTROLLERS)
    yield store
    await store.close()


async def connected(server: str, chroot: str) -> ZooKeeperStore:
    """Open a controller's session."""
    settings = StoreSettings(
        servers=(server,),
        chroot=chroot,
        session_timeout_s=SESSION_S,
        user=CONTROLLERS_USER,
        password=PASSWORD,
    )
    store = ZooKeeperStore(settings)
    await store.start(WITHIN_S)
    return store


def lay_out(folder: Path, server: str) -> None:
    """Put the agent, what it imports and what it is told into the guest."""
    root = folder / "root"
    packages = [Path(str(package.__file__)).parent for package in (kazoo, msgspec)]
    for package in packages:
        copy(root, _files(package), below=package.parent)
    agent = Path(hamon.__file__).parent
    copy(root, _files(agent), below=agent.parent)
    copy(root, _files(STANDARD_LIBRARY))
    (root / "password").write_text(f"{PASSWORD}\n")
    (root / "password").chmod(0o600)
    port = server.rpartition(":")[2]
    (root / "agent.toml").write_text(f"""\
host = "{HOST}"
cluster = "{CLUSTER}"
[zookeeper]
servers = ["{HOST_IN_GUEST}:{port}"]
session_timeout_s = {SESSION_S}
password_file = "/password"
controllers_digest = "{CONTROLLERS}"
[planes]
management = "10.0.2.15"
[watchdog]
device = "/dev/watchdog0"
timeout_s = {TIMEOUT_S}
r_max_s = {R_MAX_S}
""")


def _files(folder: Path) -> list[Path]:
    return [
        file
        for file in folder.rglob("*")
        if file.is_file() and not {"__pycache__", "test", "idlelib"} & set(file.parts)
    ]


async def said(leader: ZooKeeperStore) -> HostSelf | None:
    """What the host says of itself."""
    value = decode(SELF, (await leader.get(SELF)).data)
    assert value is None or isinstance(value, HostSelf)
    return value


async def beats(leader: ZooKeeperStore) -> int:
    """How often it has beaten."""
    try:
        value = decode(HEARTBEAT, (await leader.get(HEARTBEAT)).data)
    except NodeMissingError:
        return 0
    assert isinstance(value, Heartbeat)
    return value.count


async def convict(leader: ZooKeeperStore, host: HostSelf) -> None:
    """Take the right to live from this boot."""
    guard = HostGuard(right=Right.SHUT_OUT, boot_id=host.boot_id)
    version = (await leader.get(GUARD)).version
    await leader.commit([SetData(path=GUARD, data=encode(GUARD, guard), version=version)])


async def test_host_with_watchdog__convicted__is_reset_before_a_leader_counts_on_it(
    tmp_path: Path, server: str, leader: ZooKeeperStore
) -> None:
    """It beats and lives; convicted, it is reset by itself, whatever anybody else can reach."""
    lay_out(tmp_path, server)
    words = command(tmp_path, SCRIPT, nowayout=True)
    with (tmp_path / "console").open("wb") as console:
        guest = await asyncio.create_subprocess_exec(
            *words, stdin=subprocess.DEVNULL, stdout=console
        )
    try:
        await until_it_beats(leader, guest, tmp_path / "console")
        host = await said(leader)
        assert host is not None
        assert host.watchdog == WatchdogFacts(
            timeout_s=float(TIMEOUT_S),
            r_max_s=R_MAX_S,
            is_soft=False,
            nowayout=True,
            identity="i6300ESB timer",
        )
        assert unfit(host.watchdog) == ""
        await convict(leader, host)
        at_conviction = await beats(leader)
        # QEMU ends by the watchdog alone: the guest has no other way to go.
        async with asyncio.timeout(proof_time_s(host.watchdog, margin_s=5.0, reset_latency_s=5.0)):
            assert await guest.wait() == 0
        assert await beats(leader) in {0, at_conviction}
    finally:
        if guest.returncode is None:
            guest.kill()
            await guest.wait()


def _text(console: Path) -> str:
    return console.read_text("latin-1")


async def until_it_beats(
    leader: ZooKeeperStore, guest: asyncio.subprocess.Process, console: Path
) -> None:
    """Wait until the host has lived for longer than its device would have let it without beats."""
    deadline_s = time.monotonic() + WITHIN_S
    while await beats(leader) < BEATS:
        is_well = guest.returncode is None and time.monotonic() < deadline_s
        assert is_well, _text(console)
        await asyncio.sleep(0.2)
