"""What can be done to a simulated world: verbs that scenarios and walks are made of.

``do(world, "power", "compute-1", "off")``; the words are those of a scenario's ``do`` key.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from hamon.coordination.paths import Place, PlaceKind, to_path
from hamon.model.control import RequestKind
from hamon.model.host import Leaving
from hamon.model.names import ControllerId, GuestId, HostName
from hamon.model.policy import Mode
from hamon.ports.store import SetData
from hamon.sim.controller import SimulatedController
from hamon.sim.host import SimulatedHost
from hamon.sim.nova_faults import do_nova, do_nova_compute, do_server, heal_nova
from hamon.sim.power import DeviceFault, SimulatedFenceDevice
from hamon.sim.store import Loss
from hamon.sim.world import World

QUICK_BOOT_S = 3.0
"""A reboot faster than any session's time-out."""

_BMC_FAULTS: Mapping[str, frozenset[DeviceFault]] = {
    "ok": frozenset(),
    "dead": frozenset({DeviceFault.DEAD}),
    "refuse": frozenset({DeviceFault.REFUSING}),
    "lie-off": frozenset({DeviceFault.LIES_OFF}),
    "lie-on": frozenset({DeviceFault.LIES_ON}),
    "ignore-off": frozenset({DeviceFault.IGNORES_OFF}),
    "lose-answer": frozenset({DeviceFault.LOSES_ANSWER}),
    "slow": frozenset(),
}
SLOW_S = 4.0
QUICK_S = 0.05

_RUBBISH = {"rubbish": b"\xff\x00not json", "newer": b'{"schema":99}'}


class UnknownVerbError(ValueError):
    """A scenario asks for something that cannot be done."""


def do(world: World, verb: str, *words: str) -> None:
    """Carry out one verb, now.

    Raises:
        UnknownVerbError: there is no such verb, or its words make no sense.
    """
    world.events.add(f"do_{verb.replace('-', '_')}", {"subject": " ".join(words)})
    try:
        _VERBS[verb](world, *words)
    except (KeyError, TypeError, IndexError) as error:
        raise UnknownVerbError(f"{verb} {' '.join(words)}: {error!r}") from error


def heal(world: World) -> None:
    """End every fault, but leave hosts without power as they are."""
    world.events.add("do_heal", {})
    for plane, party in sorted(world.cuts):
        world.cut(plane, party, is_cut=False)
    if not world.ensemble.has_quorum:
        world.ensemble.regain_quorum()
    for name in _switches(world):
        _bmc(world, name, "ok")
    for controller in world.controllers.values():
        controller.resume()
        controller.start()
    heal_nova(world)
    world.storage.heal()
    for host in world.hosts.values():
        host.agents.unhang()
        host.links_down.clear()
        host.agents.start_heartbeat()
        host.agents.start_guests()
        _libvirtd(world, host.name, "resume")
        _libvirtd(world, host.name, "start")


# -- hosts ----------------------------------------------------------------------------------------


def _host(world: World, name: str) -> SimulatedHost:
    return world.hosts[HostName(name)]


def _power(world: World, name: str, state: str) -> None:
    host = _host(world, name)
    {"off": host.lose_power, "on": host.press_power}[state]()


def _reboot(world: World, name: str) -> None:
    host = _host(world, name)
    host.lose_power()
    host.press_power(boot_s=QUICK_BOOT_S)


def _panic(world: World, name: str, dump_s: str) -> None:
    _host(world, name).panic(float(dump_s))


def _leave(world: World, name: str, why: str) -> None:
    host = _host(world, name)
    if host.is_running:
        host.announce(Leaving(why))


def _heartbeat(world: World, name: str, what: str) -> None:
    host = _host(world, name)
    _agent_verb(host, what, heartbeat=True)


def _guests_agent(world: World, name: str, what: str) -> None:
    _agent_verb(_host(world, name), what, heartbeat=False)


def _agent_verb(host: SimulatedHost, what: str, *, heartbeat: bool) -> None:
    kill = host.agents.kill_heartbeat if heartbeat else host.agents.kill_guests
    start = host.agents.start_heartbeat if heartbeat else host.agents.start_guests
    match what:
        case "kill":
            kill()
        case "start":
            start()
        case "restart":
            kill()
            start()
        case "pause":
            host.agents.pause(heartbeat=heartbeat, guests=not heartbeat)
        case "resume":
            host.agents.resume(heartbeat=heartbeat, guests=not heartbeat)
        case _:
            raise KeyError(what)


def _userland(world: World, name: str, what: str) -> None:
    host = _host(world, name)
    {"hang": host.agents.hang, "resume": host.agents.unhang}[what]()


def _link(world: World, name: str, link: str, what: str) -> None:
    down = _host(world, name).links_down
    {"down": down.add, "up": down.discard}[what](link)


def _libvirtd(world: World, name: str, what: str) -> None:
    host = _host(world, name)
    if not host.is_running:
        return
    daemon = host.hypervisor
    verbs: Mapping[str, Callable[[], None]] = {
        "kill": daemon.stop_daemon,
        "start": daemon.start_daemon,
        "pause": daemon.pause_daemon,
        "pause-at-start": daemon.pause_next_start,
        "lose-start": daemon.lose_answer_of_next_start,
        "resume": daemon.resume_daemon,
        "empty": daemon.lose_configuration,
    }
    verbs[what]()


def _guest(world: World, name: str) -> GuestId:
    return next(guest for guest, plan in world.guests.items() if plan.name == name)


def _virsh(world: World, what: str, host_name: str, guest_name: str) -> None:
    host, guest = _host(world, host_name), _guest(world, guest_name)
    if not host.is_running:
        return
    match what:
        case "start":
            host.start_by_hand(guest)
        case "destroy":
            host.hypervisor.stop_now(guest)
        case "undefine":
            host.hypervisor.undefine_now(guest)
        case "break":
            host.hypervisor.let_starts_fail(guest, "XML does not start here")
        case "repair":
            host.hypervisor.let_starts_fail(guest, "")
        case _:
            raise KeyError(what)


# -- the rest -------------------------------------------------------------------------------------


def _controller(world: World, name: str, what: str) -> None:
    controller = _named(world, name)
    verbs: Mapping[str, Callable[[], None]] = {
        "kill": controller.kill,
        "start": controller.start,
        "pause": controller.pause,
        "resume": controller.resume,
        "lose-reply": lambda: _lose(controller, Loss.REPLY),
        "lose-request": lambda: _lose(controller, Loss.REQUEST),
    }
    verbs[what]()


def _named(world: World, name: str) -> SimulatedController:
    """Find a controller; ``leader`` and ``standby`` are whoever they are now."""
    if name not in {"leader", "standby"}:
        return world.controllers[ControllerId(name)]
    for controller in world.controllers.values():
        if controller.is_leading == (name == "leader"):
            return controller
    return next(iter(world.controllers.values()))


def _lose(controller: SimulatedController, loss: Loss) -> None:
    if controller.store is not None:
        controller.store.inner.lose_next(loss)


def _plane(world: World, plane: str, party: str, what: str) -> None:
    world.cut(plane, party, is_cut={"cut": True, "restore": False}[what])


def _storage(world: World, mount: str, party: str, what: str) -> None:
    """``storage nfs1 PARTY cut|restore``: of one host or controller; ``all hang|resume``."""
    if party == "all":
        world.storage.hang(mount, hangs={"hang": True, "resume": False}[what])
    else:
        known = {*world.hosts, *world.controllers}
        if party not in known:
            raise KeyError(party)
        world.storage.cut(mount, party, is_cut={"cut": True, "restore": False}[what])


def _quorum(world: World, what: str) -> None:
    {"lose": world.ensemble.lose_quorum, "regain": world.ensemble.regain_quorum}[what]()


def _expire(world: World, whose: str) -> None:
    if whose == "all":
        world.ensemble.expire_all()
        return
    controller = _named(world, whose)
    if controller.store is not None and controller.store.session_id:
        world.ensemble.expire(controller.store.session_id)


def _bmc(world: World, name: str, what: str) -> None:
    """Have a host's first fence device, or the one named as ``host/device``, do ``what``."""
    host, _, named = name.partition("/")
    devices = world.switches[HostName(host)]
    device: SimulatedFenceDevice = devices[named or next(iter(devices))]
    device.faults = set(_BMC_FAULTS[what])
    device.delay_s = SLOW_S if what == "slow" else QUICK_S


def _switches(world: World) -> list[str]:
    return [f"{host}/{device}" for host, named in world.switches.items() for device in named]


def _znode(world: World, path: str, what: str) -> None:
    """Write rubbish, or something of a newer hamon, past everybody."""
    tree, caller = world.ensemble.tree, world.ledger.caller
    write = SetData(path=path, data=_RUBBISH[what], version=tree.get(path, caller).version)
    world.ensemble.tell(tree.commit([write], caller))


def _request(world: World, kind: str, host: str = "", *rest: str) -> None:
    arguments: dict[str, str] = {"kind": kind, "reason": "by scenario"}
    if kind == RequestKind.RELEASE:
        boots = {name: _host(world, name).boot_id for name in (host, *rest)}
        arguments |= {"boots": json.dumps(boots), "until": "9999-12-31T00:00:00.000Z"}
        host, rest = "", ()
    if host:
        arguments["host"] = host
    if kind in {"confirm_down", "evacuate_host"} and host:
        arguments["boot_id"] = _host(world, host).boot_id
    if rest:
        arguments["target"] = rest[0]
    for controller in world.controllers.values():
        if controller.is_alive and not controller.is_paused:
            controller.ask(**arguments)
            return


def _mode(world: World, mode: str) -> None:
    """Change ``cluster.mode`` on every controller, and restart them."""
    world.policy = replace(world.policy, mode=Mode(mode))
    for controller in world.controllers.values():
        controller.kill()
        controller.start()


def guard_path(host: str) -> str:
    """Tell the path of a host's guard, for the verb ``znode``."""
    return to_path(Place(kind=PlaceKind.GUARD, host=HostName(host)))


_VERBS: Mapping[str, Callable[..., None]] = {
    "power": _power,
    "reboot": _reboot,
    "panic": _panic,
    "leave": _leave,
    "heartbeat": _heartbeat,
    "guests-agent": _guests_agent,
    "libvirtd": _libvirtd,
    "virsh": _virsh,
    "controller": _controller,
    "plane": _plane,
    "storage": _storage,
    "link": _link,
    "userland": _userland,
    "quorum": _quorum,
    "expire": _expire,
    "bmc": _bmc,
    "znode": _znode,
    "request": _request,
    "mode": _mode,
    "heal": heal,
    "nova": do_nova,
    "nova-compute": do_nova_compute,
    "server": do_server,
}
