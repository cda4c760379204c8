"""``hamon agent gate``."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import click

from hamon.cli.failure import Failure
from hamon.cli.invocation import Invocation, agent_config_option, pass_invocation
from hamon.errors import ConfigError

if TYPE_CHECKING:
    from hamon.agent.config import AgentConfig


@click.command("gate")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Give up after this long (exit code 1); else it waits for ever.",
)
@click.option(
    "--override",
    "is_override",
    is_flag=True,
    help="Open the gate of this boot by hand, without ZooKeeper; needs root and --reason.",
)
@click.option("--reason", default="", metavar="TEXT", help="Why; goes into every log.")
@agent_config_option
@pass_invocation
def command(
    invocation: Invocation, timeout_s: float | None, reason: str, *, is_override: bool
) -> None:
    """Wait until nova-compute may start on this host.

    Run before nova-compute starts. Opens when the leader lets this boot serve, and the guests
    process makes libvirt refuse the guests that were evacuated from here. Says why it waits.

    `--override --reason TEXT` opens it for this boot whatever the leader says, also for a gate that
    waits already: only if you know that no guest of this host runs elsewhere. Libvirt then starts
    Nova's guests here, but for those that were denied when ZooKeeper last answered.
    """
    from hamon.agent.config import load_config
    from hamon.model.policy import Backend

    if is_override != bool(reason.strip()):
        raise click.UsageError("--override and --reason go together")
    config = load_config(invocation.agent_config_path)
    if config.backend is not Backend.NOVA:
        why = f'is "{config.backend}": only nova-compute needs a gate; with Nova set it to "nova"'
        raise ConfigError(str(invocation.agent_config_path), "backend", why)
    if is_override:
        _override(invocation, config, reason.strip())
    else:
        _wait(config, timeout_s)


def _wait(config: AgentConfig, timeout_s: float | None) -> None:
    from hamon.agent.events import JsonEventLog
    from hamon.agent.gate import Verdict, wait_at_gate
    from hamon.clock import SystemClock

    clock = SystemClock()
    log = JsonEventLog(sys.stderr, clock, host=config.host)
    answer = asyncio.run(wait_at_gate(config, clock, log, click.echo, timeout_s))
    match answer.verdict:
        case Verdict.OPEN:
            click.echo(f"the gate is open: {answer.why}")
        case Verdict.CLOSED:
            raise Failure(f"the gate is still closed after {timeout_s:g} s: {answer.why}")
        case Verdict.NEVER:
            raise Failure(answer.why)


def _override(invocation: Invocation, config: AgentConfig, reason: str) -> None:
    from hamon.agent.events import JsonEventLog
    from hamon.agent.gate_files import FileGateFiles, GateOverride
    from hamon.clock import SystemClock

    if not invocation.is_root:
        raise Failure("only root may open the gate by hand", "repeat it with sudo")
    clock = SystemClock()
    who = os.environ.get("SUDO_USER") or os.environ.get("USER") or f"uid {os.getuid()}"
    override = GateOverride(who=who, at=clock.wall(), reason=reason)
    try:
        FileGateFiles(config.folders.run_dir, config.boot_id()).leave_override(override)
    except OSError as error:
        raise Failure(f"{error.filename} cannot be written: {error.strerror}") from error
    log = JsonEventLog(sys.stderr, clock, host=config.host)
    log.error("gate_overridden", who=who, at=override.at, reason=reason)
    click.echo(f"the gate of host {config.host} is open for this boot, on the word of {who}")
