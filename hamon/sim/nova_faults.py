"""What can be done to a simulated Nova, and by its users: more verbs for ``faults``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hamon.errors import CloudError
from hamon.model.names import GuestId, HostName
from hamon.sim.cloud import CloudFault
from hamon.sim.nova import SimulatedNova
from hamon.sim.nova_records import PowerOrder, PowerVerb
from hamon.sim.world import World

SLOW_S = 20.0
"""A request takes this long on its way; the client gives it up after 30 s, as in the daemon."""


def do_nova(world: World, what: str) -> None:
    """``nova ok|unwell|slow|lose-request|lose-answer``, and ``nova conductor-kill|-start``."""
    nova, road = _nova(world), world.road

    def become(fault: CloudFault | None, delay_s: float) -> None:
        nova.api.fault, road.delay_s = fault, delay_s

    def lose(*, request: bool) -> None:
        road.loses_next_request, road.loses_next_answer = request, not request

    verbs: Mapping[str, Callable[[], None]] = {
        "ok": lambda: become(None, 0.0),
        "unwell": lambda: become(CloudFault.UNWELL, 0.0),
        "slow": lambda: become(None, SLOW_S),
        "lose-request": lambda: lose(request=True),
        "lose-answer": lambda: lose(request=False),
        "conductor-kill": nova.kill_conductor,
        "conductor-start": nova.start_conductor,
    }
    verbs[what]()


def do_nova_compute(world: World, host: str, what: str) -> None:
    """``nova-compute HOST kill|start|restart|pause|resume``."""
    compute = world.computes[HostName(host)]

    def restart() -> None:
        compute.kill()
        compute.start()

    verbs: Mapping[str, Callable[[], None]] = {
        "kill": compute.kill,
        "start": compute.start,
        "restart": restart,
        "pause": compute.pause,
        "resume": compute.resume,
    }
    verbs[what]()


def do_server(world: World, what: str, name: str) -> None:
    """``server start|stop|reboot|delete|leave-record GUEST``: what its owner, or Nova, does."""
    nova, guest = _nova(world), _guest(world, name)
    if not nova.records.is_there(guest):
        return
    match what:
        case "start" | "stop" | "reboot":
            _power(world, nova, guest, what)
        case "delete":
            host = nova.records.servers[guest].host
            nova.records.delete(guest)
            nova.queues[host].put(PowerOrder(guest=guest, host=host, verb=PowerVerb.TERMINATE))
        case "leave-record":
            # Of an evacuation of long ago, that nobody took up (nova.md 8, 27).
            nova.records.begin_evacuation(guest, "")
        case _:
            raise KeyError(what)


def heal_nova(world: World) -> None:
    """End every fault of Nova's."""
    if world.nova is None:
        return
    do_nova(world, "ok")
    world.road.loses_next_request = world.road.loses_next_answer = False
    world.nova.start_conductor()
    for compute in world.computes.values():
        compute.resume()
        compute.start()


def _power(world: World, nova: SimulatedNova, guest: GuestId, what: str) -> None:
    ask = {"start": nova.api.start, "stop": nova.api.stop, "reboot": nova.api.reboot}[what]

    async def asked() -> None:
        try:
            await ask(guest)
        except CloudError as error:
            world.events.add("user_refused", {"guest": guest, "why": error.why})

    nova.api_process.spawn(asked())


def _guest(world: World, name: str) -> GuestId:
    return next(guest for guest, plan in world.guests.items() if plan.name == name)


def _nova(world: World) -> SimulatedNova:
    if world.nova is None:
        msg = "this world has no Nova"
        raise KeyError(msg)
    return world.nova
