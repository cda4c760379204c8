"""The calls to Nova: what is noted of them."""

from __future__ import annotations

from typing_extensions import override

from hamon.engine.cloud_calls import CloudCalls
from hamon.engine.cloud_picture import CloudPicture
from hamon.evacuator.cloud.pacing import Pace
from hamon.model.action import CloudLook, CloudLookKind
from hamon.model.cloud import Server
from hamon.sim.cloud import SimulatedCloud
from hamon.sim.nova_records import NovaRecords
from tests.builders import HOST, SPARE
from tests.virtual_clock import VirtualClock

TAKES_S = 5.0


class SlowCloud(SimulatedCloud):
    """A Nova that takes its time for a list of servers."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock, NovaRecords(clock, (HOST, SPARE)))
        self._slow_clock = clock

    @override
    async def servers(self, *, host: str = "", since: str = "") -> tuple[Server, ...]:
        await self._slow_clock.sleep(TAKES_S)
        return await super().servers(host=host, since=since)


async def test_look__nova_slow__how_long_it_took_is_noted() -> None:
    """How old a list may be when something is sent on it depends on how long one takes."""
    clock = VirtualClock()
    picture = CloudPicture(Pace(window=8, limit=32))
    calls = CloudCalls(SlowCloud(clock), picture, clock, wake=lambda: None, on_call=lambda *_: None)

    calls.start_look(CloudLook(kind=CloudLookKind.SERVERS_OF, service_host=HOST))
    await clock.advance(TAKES_S)
    await clock.advance(0.0)

    assert picture.view().took_s == {CloudLookKind.SERVERS_OF: TAKES_S}
