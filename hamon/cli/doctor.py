"""``hamon doctor``."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click

from hamon.cli.failure import ExitCode
from hamon.cli.invocation import Invocation, config_option, format_option, pass_invocation
from hamon.model.host import Carried, HostSpec
from hamon.model.policy import Mode
from hamon.settings.values import Settings


@click.command("doctor")
@click.option("--config-only", is_flag=True, help="Read the configuration only.")
@format_option
@config_option
@pass_invocation
def command(invocation: Invocation, output: str, *, config_only: bool) -> None:
    """Say what is wrong with the configuration.

    Every fault with its file, key and reason. Exit code 0: it can be used; 78: it cannot.
    """
    if not config_only:
        raise click.UsageError("say what to look at: --config-only reads the configuration")
    from hamon.settings.load import check, load

    errors = check(invocation.config_path)
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
