"""The command line of the lab; every command is one call of the Python API."""

import json
import os
import signal
import sys
import time
from typing import Any

import click

from lab import observer, records
from lab.bmc import Fault
from lab.lab import Lab
from lab.names import LabError, Plane
from lab.network import Direction
from lab.openstack import overview
from lab.topology import Backend, Computes, Driver

REFRESH_S = 0.5
GUESTS_TIMEOUT_S = 180.0


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--name",
    envvar="HAMON_LAB",
    default="default",
    show_default=True,
    show_envvar=True,
    help="Which lab: lower-case letters and digits.",
)
@click.pass_context
def cli(context: click.Context, name: str) -> None:
    """A real cloud on one machine: controllers, virtual compute hosts, BMCs, guests, faults.

    Controllers are c1, c2, c3; compute hosts are h1, h2, ...; guests have the names you give
    them. Needs root and the packages in lab/debian-packages.txt. Everything is made in
    .lab/NAME, in processes of its own and in network namespaces hamon-NAME-*; `down` removes it.

    \b
      python -m lab up --hosts 3 --guests 8
      python -m lab guests --watch
      python -m lab host h1 power-cut
      python -m lab guest g1 force-start --on h2
      python -m lab repair
      python -m lab down
    """  # noqa: D301 - \b is click's mark for lines that are not to be wrapped
    context.obj = name


def _open(context: click.Context) -> Lab:
    return Lab.open(context.obj)


@cli.command()
@click.option("--controllers", type=click.Choice(["1", "3"]), default="3", show_default=True)
@click.option("--hosts", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option(
    "--guests", type=click.IntRange(0), default=0, show_default=True, help="Spread over the hosts."
)
@click.option(
    "--daemons",
    type=click.IntRange(0, 3),
    default=2,
    show_default=True,
    help="Controllers with a hamon daemon; 0: a lab without hamon.",
)
@click.option(
    "--backend",
    type=click.Choice([str(backend) for backend in Backend]),
    default=str(Backend.LIBVIRT),
    show_default=True,
    help="nova: the hosts are the computes of a real OpenStack.",
)
@click.option(
    "--driver",
    type=click.Choice([str(driver) for driver in Driver]),
    default=str(Driver.LIBVIRT),
    show_default=True,
    help="Of nova-compute. fake: no libvirt, no QEMU; hundreds of guests cost little.",
)
@click.option(
    "--service-names", is_flag=True, help="nova-compute of h1 is compute-h1: not its host's name."
)
@click.option(
    "--agentless",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="How many hosts, the last ones, are computes without an agent of hamon.",
)
@click.option("--durable", is_flag=True, help="Keep the machines' state on disk, not on a tmpfs.")
@click.pass_context
def up(  # noqa: PLR0913 - each option is an argument
    context: click.Context,
    controllers: str,
    hosts: int,
    guests: int,
    daemons: int,
    backend: str,
    driver: str,
    *,
    service_names: bool,
    agentless: int,
    durable: bool,
) -> None:
    """Make the lab and wait until ZooKeeper, libvirt, Nova, BMCs and hamon serve."""
    began = time.monotonic()
    lab = Lab.create(
        context.obj,
        controllers=int(controllers),
        hosts=hosts,
        daemons=daemons,
        backend=Backend(backend),
        computes=Computes(
            driver=Driver(driver), has_service_names=service_names, agentless=agentless
        ),
        durable=durable,
    )
    took_s = time.monotonic() - began
    click.echo(f"lab {context.obj} is up after {took_s:.1f} s in {lab.layout.folder}")
    if guests:
        _start_guests(lab, guests)
        click.echo(f"{guests} guests run after {time.monotonic() - began:.1f} s")


def _start_guests(lab: Lab, count: int) -> None:
    """Start guests, spread over the hosts, and wait until they write, if they have disks.

    Raises:
        LabError: one could not be started, or did not write in time.
    """
    if lab.cloud is not None and not lab.topology.has_libvirt:
        for number, host in enumerate(lab.hosts):
            share = len(range(number, count, len(lab.hosts)))
            lab.cloud.boot_many(f"{host.name}-g", share, host)
        return
    names = [f"g{number + 1}" for number in range(count)]
    where = {name: lab.hosts[number % len(lab.hosts)] for number, name in enumerate(names)}
    with lab.observer() as watching:
        if lab.cloud is None:
            for name, host in where.items():
                lab.guests.force_start(name, host)
            disks = names
        else:
            cloud = lab.cloud
            disks = [str(cloud.boot(name, host)) for name, host in where.items()]
            cloud.wait_active(names)
        if not watching.wait_for(lambda o: all(map(o.writing, disks)), GUESTS_TIMEOUT_S):
            raise LabError(f"not every guest wrote to its disk within {GUESTS_TIMEOUT_S:g} s")


@cli.command()
@click.pass_context
def down(context: click.Context) -> None:
    """Remove the lab with all that it made; also a half-made one, and twice."""
    records.remove(context.obj)


@cli.command()
@click.option("--guests", is_flag=True, help="Also remove all guests and their disks.")
@click.pass_context
def repair(context: click.Context, *, guests: bool) -> None:
    """Bring every plane, BMC, machine and process back to normal."""
    _open(context).repair(remove_guests=guests)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Everything, for programs.")
@click.pass_context
def status(context: click.Context, *, as_json: bool) -> None:
    """Show machines, planes, processes and BMCs."""
    found = _open(context).status()
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(f"lab {found['name']} in {found['folder']}, guests run on {found['accelerator']}")
    click.echo(f"zookeeper {found['zookeeper']['connect']}")
    for name, machine in found["machines"].items():
        click.echo(_machine_line(name, machine, found["zookeeper"]["servers"].get(name)))


def _machine_line(name: str, machine: dict[str, Any], server: str | None) -> str:
    words = [f"{name:<5}", "on " if machine["powered"] else "OFF"]
    words += [machine["planes"]["management"]["address"]]
    words += [f"zookeeper={server}"] if server else []
    words += [f"bmc={machine['bmc']}"] if "bmc" in machine else []
    words += [f"{p}:{d['state']}" for p, d in machine["processes"].items()]
    words += [f"{p} CUT ({d['cut']})" for p, d in machine["planes"].items() if d["cut"]]
    return " ".join(words)


@cli.command()
@click.argument("machine")
@click.argument(
    "action", type=click.Choice(["power-cut", "power-on", "shutdown", "reboot", "reset"])
)
@click.pass_context
def host(context: click.Context, machine: str, action: str) -> None:
    """Switch a host or controller.

    power-cut kills everything in it at once, reset is power-cut and power-on; shutdown and reboot
    stop its services in order first.
    """
    lab = _open(context)
    match action:
        case "power-cut":
            lab.machine(machine).power_cut()
        case "power-on":
            lab.machine(machine).power_on()
        case "shutdown":
            lab.machine(machine).shut_down()
        case "reboot":
            lab.reboot(machine)
        case _:
            lab.reset(machine)


@cli.command()
@click.argument("machine")
@click.argument("which", type=click.Choice([str(plane) for plane in Plane]))
@click.argument("action", type=click.Choice(["cut", "restore"]))
@click.option(
    "--direction",
    type=click.Choice([str(direction) for direction in Direction]),
    default=str(Direction.BOTH),
    show_default=True,
    help="What is dropped: what the machine sends (out), what it would get (in), or both.",
)
@click.pass_context
def plane(context: click.Context, machine: str, which: str, action: str, direction: str) -> None:
    """Cut or restore a plane of a machine; on bmc, that of a host's BMC.

    The switch drops the frames, both ends keep their carrier. A guest's disk is not reached
    through the storage plane, so a guest goes on writing when it is cut.
    """
    lab = _open(context)
    if action == "cut":
        lab.cut(machine, Plane(which), Direction(direction))
    else:
        lab.restore(machine, Plane(which))


@cli.command()
@click.argument("machine", metavar="HOST")
@click.argument("action", type=click.Choice(["cut", "restore"]))
@click.pass_context
def storage(context: click.Context, machine: str, action: str) -> None:
    """Have a host's heartbeats on shared storage fail or pass.

    Its guests' disks are on another storage, which is never cut.
    """
    lab = _open(context)
    if action == "cut":
        lab.cut_storage(machine)
    else:
        lab.restore_storage(machine)


@cli.command()
@click.argument("machine")
@click.argument("process_name", metavar="PROCESS")
@click.argument("action", type=click.Choice(["kill", "pause", "resume", "restart"]))
@click.pass_context
def process(context: click.Context, machine: str, process_name: str, action: str) -> None:
    """Kill (SIGKILL), pause, resume or restart a process of a machine.

    PROCESS is a service (zookeeper, virtlogd, libvirtd, ...; `status` lists them) or
    qemu:GUEST. What is killed stays dead until restart, repair or the next power-on.
    """
    lab = _open(context)
    numbers = {"kill": signal.SIGKILL, "pause": signal.SIGSTOP, "resume": signal.SIGCONT}
    if action == "restart":
        lab.restart_service(machine, process_name)
    else:
        lab.machine(machine).signal_process(process_name, numbers[action])


@cli.command()
@click.argument("machine", metavar="HOST")
@click.argument("behaviour", type=click.Choice([str(fault) for fault in Fault]))
@click.pass_context
def bmc(context: click.Context, machine: str, behaviour: str) -> None:
    """Make a host's BMC well (ok) or ill.

    \b
      dead        its process is gone, nothing answers
      slow        each answer takes eight seconds
      mute        takes what is sent to it and never answers
      refuse      answers each command with an error
      lie-off     says Off whatever is true
      lie-on      says On whatever is true
      ignore-off  accepts off and does nothing
    """  # noqa: D301 - \b is click's mark for lines that are not to be wrapped
    _open(context).bmc(machine).behave(Fault(behaviour))


@cli.command()
@click.option("--watch", is_flag=True, help="Print changes until Ctrl-C.")
@click.pass_context
def guests(context: click.Context, *, watch: bool) -> None:
    """Show which guests write to their disks, seen from outside."""
    lab = _open(context)
    with lab.observer() as watching:
        watching.wait_for(lambda _: False, observer.SILENT_AFTER_S / 2)
        while True:
            for guest in watching.guests():
                click.echo(_guest_line(watching, guest))
            if not watch:
                return
            time.sleep(REFRESH_S)
            click.clear()


def _guest_line(watching: observer.Observer, guest: str) -> str:
    last = watching.last(guest)
    if last is None:
        return f"{guest:<10} never wrote"
    state = "writing" if watching.writing(guest) else "SILENT"
    words = [f"{guest:<10}", f"{state:<7}", last.record.boot_id, f"count {last.record.counter}"]
    words += [f"was away {absence.downtime_s:.2f} s" for absence in watching.absences(guest)[-1:]]
    if guest in watching.double_writers():
        words.append(f"DOUBLE WRITER ({watching.double_writers()[guest]} times)")
    return " ".join(words)


@cli.command()
@click.pass_context
def nova(context: click.Context) -> None:
    """Show Nova's servers, compute services and migrations, as Nova itself has them."""
    cloud = _open(context).cloud
    if cloud is None:
        raise LabError(f"lab {context.obj!r} has no Nova: make one with `up --backend nova`")
    click.echo(overview.printed(overview.read(cloud)))


@cli.command()
@click.argument("guest_name", metavar="GUEST")
@click.argument(
    "action", type=click.Choice(["define", "start", "destroy", "undefine", "force-start"])
)
@click.option("--on", "machine", required=True, metavar="HOST")
@click.pass_context
def guest(context: click.Context, guest_name: str, action: str, machine: str) -> None:
    """Define, start, destroy or undefine a guest on a host.

    force-start defines and starts it there though it may run elsewhere: it makes the double
    writer that hamon must prevent.
    """
    lab = _open(context)
    host_machine = lab.host(machine)
    match action:
        case "define":
            lab.guests.define(guest_name, host_machine)
        case "start":
            lab.guests.start(guest_name, host_machine)
        case "destroy":
            lab.guests.destroy(guest_name, host_machine)
        case "undefine":
            lab.guests.undefine(guest_name, host_machine)
        case _:
            lab.guests.force_start(guest_name, host_machine)


@cli.command(name="exec", context_settings={"ignore_unknown_options": True})
@click.argument("machine")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def exec_(context: click.Context, machine: str, command: tuple[str, ...]) -> None:
    """Run a command in a machine's namespaces: `exec h1 -- virsh list`."""
    context.exit(_open(context).machine(machine).call(command))


@cli.command(name="list")
def list_() -> None:
    """Print the names of the labs of this checkout."""
    for name in records.names():
        click.echo(name)


def main() -> None:
    """Run the command line; exit 1 with one sentence if the lab cannot do what was asked."""
    if os.geteuid() != 0:
        sys.exit("lab: needs root")
    try:
        cli()
    except LabError as error:
        sys.exit(f"lab: {error}")
