"""``hamon doctor``."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from typing import NoReturn

import click

from hamon.cli.failure import ExitCode, printable
from hamon.cli.invocation import Invocation, config_option, format_option, pass_invocation
from hamon.model.host import Carried, HostSpec
from hamon.model.policy import Mode
from hamon.settings.values import Settings

_MARKS = {"ok": "ok      ", "warning": "WARNING ", "fault": "WRONG   ", "note": "note    "}


@click.command("doctor")
@click.option("--config-only", is_flag=True, help="Read the configuration only.")
@click.option("-q", "--quiet", is_flag=True, help="Only what is not as it should be.")
@format_option
@config_option
@pass_invocation
def command(invocation: Invocation, output: str, *, config_only: bool, quiet: bool) -> None:
    """Say what is wrong with this installation.

    The configuration first: every fault with its file, key and reason. Then what it names:
    ZooKeeper and its access rules, controllers, agents, fence devices, Nova, storages, and who is
    not protected and why. Run it on each controller, as hamon's user. Changes nothing.

    Exit code 0: nothing is wrong, though there may be warnings; 1: something is; 78: the
    configuration cannot be used.
    """
    from hamon.settings.load import check, load

    errors = check(invocation.config_path)
    if not errors and not config_only:
        _examine(load(invocation.config_path), output, quiet=quiet)
    if output == "json":
        faults = [{"file": e.path, "key": e.key, "why": e.why} for e in errors]
        click.echo(json.dumps({"faults": faults}, indent=2))
    elif errors:
        for error in errors:
            click.echo(str(error))
        click.echo(f"{len(errors)} to correct")
    else:
        settings = load(invocation.config_path)
        click.echo(f"{settings.path} can be used")
        click.echo(f"cluster {settings.cluster}, controller {settings.controller}")
        click.echo(f"ZooKeeper: {', '.join(settings.zookeeper.servers)}")
        click.echo(f"hosts: {len(settings.hosts)} in {settings.hosts_dir}")
        for note in notes(settings):
            click.echo(note)
    raise SystemExit(ExitCode.CONFIG if errors else ExitCode.OK)


def _examine(settings: Settings, output: str, *, quiet: bool) -> NoReturn:
    from hamon import __version__
    from hamon.doctor.examination import examine
    from hamon.doctor.finding import Level

    found = asyncio.run(examine(settings, __version__))
    shown = [each for each in found if not quiet or each.level is not Level.OK]
    faults = sum(each.level is Level.FAULT for each in found)
    if output == "json":
        told = [dataclasses.asdict(each) for each in shown]
        click.echo(json.dumps({"findings": told, "notes": list(notes(settings))}, indent=2))
    else:
        for each in shown:
            click.echo(f"{_MARKS[each.level]} {each.area}: {printable(each.what)}")
            if each.advice and each.level is not Level.OK:
                click.echo(f"         {each.advice}")
        for note in notes(settings):
            click.echo(f"{_MARKS['note']} {note}")
        warnings = sum(each.level is Level.WARNING for each in found)
        click.echo(f"{len(found)} looked at: {faults} wrong, {warnings} could be better")
    raise SystemExit(ExitCode.REFUSED if faults else ExitCode.OK)


def notes(settings: Settings) -> Iterator[str]:
    """Say what is no fault and should be known: what is never fenced, and what is not done."""
    if settings.policy.mode is Mode.SHADOW:
        yield 'mode: shadow. All is decided and told, nothing done; cluster.mode = "active" ends it'
    for host in settings.hosts:
        if host.carries:
            yield f"{host.name} carries {' and '.join(host.carries)}: {_protection(settings, host)}"
        elif host.name == str(settings.controller):
            yield f"{host.name} is this controller itself: it never fences it"
    missing = sorted(
        host.name
        for host in settings.hosts
        if not set(settings.policy.holds.domain_labels) & host.labels.keys()
    )
    if settings.policy.holds.domain_labels and missing:
        labels = ", ".join(settings.policy.holds.domain_labels)
        yield f"without any of the labels {labels}, so in no failure domain: {', '.join(missing)}"


def _protection(settings: Settings, host: HostSpec) -> str:
    if not settings.policy.holds.fence_controllers:
        return "it is never fenced (holds.fence_controllers = false)"
    if Carried.ZOOKEEPER not in host.carries:
        return "it may be fenced (holds.fence_controllers = true)"
    servers = settings.policy.zookeeper_servers
    return f"it may be fenced while more than half of {servers} ZooKeeper servers are left"
