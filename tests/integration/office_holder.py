"""A controller in a process of its own: takes office, then writes whenever it is told to.

Started as ``python -m tests.integration.office_holder SERVERS CHROOT TIMEOUT_S PASSWORD``. Prints
one line when it holds office (its epoch), and one for each line it reads: what its write came to.
"""

import asyncio
import sys

from hamon.clock import SystemClock
from hamon.coordination.access import CONTROLLERS_USER, Identities, digest_of
from hamon.coordination.election import Election
from hamon.coordination.journal import Journal
from hamon.coordination.session import StoreSettings
from hamon.coordination.zookeeper import ZooKeeperStore
from hamon.errors import HamonError
from hamon.model.change import CONTROL, Change, Update
from hamon.model.control import Control
from hamon.model.names import ControllerId
from hamon.model.reason import reason


async def hold_office(servers: str, chroot: str, timeout_s: str, password: str) -> None:
    """Take office and write on demand, until the input ends."""
    settings = StoreSettings(
        servers=tuple(servers.split(",")),
        chroot=chroot,
        session_timeout_s=float(timeout_s),
        user=CONTROLLERS_USER,
        password=password,
    )
    store = ZooKeeperStore(settings)
    await store.start()
    identities = Identities(controllers=digest_of(CONTROLLERS_USER, password))
    office = await Election(
        store, ControllerId("holder"), identities, SystemClock()
    ).wait_for_office()
    journal = Journal(store, office.epoch, identities, SystemClock())
    print(office.epoch, flush=True)  # noqa: T201 - what the test reads
    while await asyncio.to_thread(sys.stdin.readline):
        print(await write(store, journal), flush=True)  # noqa: T201
    await store.close()


async def write(store: ZooKeeperStore, journal: Journal) -> str:
    """Write something as the leader; tell what became of it."""
    try:
        version = (await store.get("/control")).version
        update = Update(key=CONTROL, version=version, value=Control(who="holder"))
        change = Change(subject="cluster", reason=reason("test", "cluster"), operations=(update,))
        await journal.commit(change)
    except HamonError as error:
        return type(error).__name__
    return "written"


if __name__ == "__main__":
    asyncio.run(hold_office(*sys.argv[1:]))
