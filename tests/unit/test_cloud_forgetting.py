"""How long the guests of a host stay known: a list of long ago must not be taken for one of now."""

from collections.abc import AsyncIterator

import pytest

from hamon.engine.cloud_picture import CloudPicture
from hamon.engine.memory import Memory
from hamon.engine.observing import Observer
from hamon.evacuator.cloud.pacing import Pace
from hamon.model.host import HostState
from tests.builders import HOST, an_own
from tests.cloud_builders import a_server
from tests.unit.engine_world import SPEC, World
from tests.unit.test_observing import Watcher

LISTED_S = 100.0


@pytest.fixture
async def watcher() -> AsyncIterator[Watcher]:
    """A controller that looks at one enrolled host."""
    world = World()
    await world.prepare()
    watcher = Watcher(world)
    watcher.cluster.start()
    yield watcher
    await watcher.cluster.stop()
    await world.close()


@pytest.mark.parametrize(("state", "is_kept"), [(HostState.RESTARTED, True), (HostState.UP, False)])
async def test_observe__guests_of_a_restarted_host__are_known_until_it_is_up(
    watcher: Watcher,
    state: HostState,
    is_kept: bool,  # noqa: FBT001 - a case
) -> None:
    """A list of then would be the first that is believed when it dies one day."""
    await watcher.write_state(state, 0)
    await watcher.look()
    picture = CloudPicture(Pace(window=8, limit=32))
    picture.saw_servers_of(HOST, [a_server()], LISTED_S)
    observer = Observer(
        watcher.cluster, watcher.probes, Memory(), watcher.world.clock, (SPEC,), picture
    )

    view = observer.view(an_own())

    assert view is not None
    assert view.cloud is not None
    assert is_kept is bool(view.cloud.listed_s)
