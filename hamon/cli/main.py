"""``hamon``: the one command line."""

from __future__ import annotations

import click

from hamon import __version__
from hamon.cli.failure import Failure, as_failure
from hamon.cli.invocation import config_option, socket_option
from hamon.cli.lazy import LazyGroup
from hamon.errors import HamonError

VERBS = {
    "status": ("hamon.cli.status", "The whole cluster on one page: holds first."),
    "host": ("hamon.cli.host", "List hosts, show one, or remove one."),
    "explain": ("hamon.cli.explain", "Why something is or is not done about a host or incident."),
    "incident": ("hamon.cli.incident", "List incidents, show one, or export it."),
    "evacuate-host": ("hamon.cli.evacuate_host", "Rebuild a dead host's guests elsewhere."),
    "evacuate": ("hamon.cli.evacuate", "Rebuild one guest of a dead host elsewhere."),
    "confirm-down": ("hamon.cli.confirm_down", "Give your word that a host has no power."),
    "maintenance": ("hamon.cli.maintenance", "Leave a host alone while somebody works on it."),
    "fence": (
        "hamon.cli.fence",
        "Try fence devices, or use them by hand.",
    ),
    "hold": ("hamon.cli.hold", "Show what holds hamon back, or release hosts from a storm."),
    "disarm": ("hamon.cli.disarm", "Start nothing new, anywhere, until armed again."),
    "arm": ("hamon.cli.arm", "Act again."),
    "doctor": ("hamon.cli.doctor", "Say what is wrong with this installation."),
    "bootstrap": ("hamon.cli.bootstrap", "Make the cluster's place in ZooKeeper."),
    "daemon": ("hamon.cli.daemon", "Run a controller."),
    "agent": ("hamon.cli.agent", "What runs on a compute host."),
}


class RootGroup(LazyGroup):
    """Every error that a person can cause ends here, without a traceback."""

    # typing.override comes with Python 3.12.
    def invoke(self, ctx: click.Context) -> object:  # type: ignore[explicit-override]
        """Run the verb."""
        try:
            returned: object = super().invoke(ctx)
            return returned
        except HamonError as error:
            raise as_failure(error) from error
        except ModuleNotFoundError as error:
            if error.name is None or error.name.split(".")[0] == "hamon":
                raise
            raise Failure(
                f"this command needs the Python package {error.name}, which is not installed here",
                "on a controller: pip install 'hamon[controller]'; on a compute host only"
                " `hamon agent` is there",
            ) from error


@click.group(
    cls=RootGroup, commands_in=VERBS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="hamon")
@config_option
@socket_option
def cli() -> None:
    """Bring the guests of a failed compute host back to life elsewhere, exactly once.

    Exit codes: 0 done, 1 refused or incomplete, 2 wrong usage, 3 outcome unknown, 78 wrong
    configuration.
    """


def main() -> None:
    """Run the program."""
    cli()
