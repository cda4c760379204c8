"""What every command is told: which configuration, which daemon, and whether a person is there.

``--config`` and ``--socket`` may stand before the verb and after it; the later one counts.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from hamon.cli.client import Client
from hamon.errors import ConfigError

CONFIG_FILE = "/etc/hamon/hamon.toml"
AGENT_CONFIG_FILE = "/etc/hamon/agent.toml"
RUN_DIR = "/run/hamon"
SOCKET_NAME = "control.sock"
"""Repeated here, as a test compares: a question to the daemon needs no schema library."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _is_person_there() -> bool:
    return sys.stdin.isatty()


def _is_root() -> bool:
    return os.geteuid() == 0


@dataclass(slots=True, kw_only=True)
class Invocation:
    """One call of the program.

    ``config``, ``socket``: as given on the command line. ``is_interactive``: somebody can be asked.
    ``is_root``: who calls may do everything on this host.
    """

    config: Path | None = None
    socket: Path | None = None
    is_interactive: bool = field(default_factory=_is_person_there)
    is_root: bool = field(default_factory=_is_root)

    @property
    def config_path(self) -> Path:
        """The controller's configuration: --config, else HAMON_CONFIG, else the usual place."""
        return self.config or Path(os.environ.get("HAMON_CONFIG") or CONFIG_FILE)

    @property
    def agent_config_path(self) -> Path:
        """The agent's: --config, else HAMON_AGENT_CONFIG, else the usual place."""
        return self.config or Path(os.environ.get("HAMON_AGENT_CONFIG") or AGENT_CONFIG_FILE)

    @property
    def client(self) -> Client:
        """The local daemon.

        Raises:
            ConfigError: its socket is neither given nor found through the configuration.
        """
        given = self.socket or os.environ.get("HAMON_SOCKET")
        return Client(Path(given) if given else _socket_of(self.config_path))


def _socket_of(config: Path) -> Path:
    """Find the socket through the one key that matters, even if the rest of the file is wrong."""
    try:
        cluster = tomllib.loads(config.read_text()).get("cluster", {})
        run_dir = str(cluster.get("run_dir", RUN_DIR))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        why = f"cannot be read to find the daemon's socket: {cause}; --socket names it directly"
        raise ConfigError(str(config), "", why) from error
    return config.absolute().parent / run_dir / SOCKET_NAME


def _remember(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    if value is not None:
        setattr(ctx.ensure_object(Invocation), str(param.name), value)


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    expose_value=False,
    callback=_remember,
    help=f"Configuration file.  [env: HAMON_CONFIG; {CONFIG_FILE}]",
)

agent_config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    expose_value=False,
    callback=_remember,
    help=f"The agent's configuration.  [env: HAMON_AGENT_CONFIG; {AGENT_CONFIG_FILE}]",
)

socket_option = click.option(
    "--socket",
    type=click.Path(path_type=Path),
    expose_value=False,
    callback=_remember,
    help="The daemon's socket.  [env: HAMON_SOCKET; control.sock in cluster.run_dir]",
)

pass_invocation = click.make_pass_decorator(Invocation, ensure=True)


def asks_daemon(function: _Function) -> _Function:
    """Give a command the options by which the daemon is found."""
    return config_option(socket_option(function))


format_option = click.option(
    "-f",
    "--format",
    "output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="A table to read, or exactly what the daemon answered.",
)

yes_option = click.option("--yes", is_flag=True, help="Do not ask; safety rules still hold.")
