"""``hamon evacuate``."""

from __future__ import annotations

from typing import TextIO

import click

from hamon.cli.asking import ask_in_words
from hamon.cli.evacuation import TIMEOUT_S, Wanted, carry_out, check_named, check_target, preview
from hamon.cli.failure import Failure
from hamon.cli.invocation import Invocation, asks_daemon, pass_invocation, yes_option
from hamon.model.control import RequestKind


@click.command("evacuate")
@click.argument("server")
@click.argument("host", required=False)
@click.option("--force", is_flag=True, help="Nova's: skip the scheduler's filters for HOST.")
@click.option(
    "--password", "asks_password", is_flag=True, help="Ask for the password it is to have then."
)
@click.option(
    "--password-file",
    type=click.File("r"),
    help="Read that password from the first line of a file; -: from standard input.",
)
@yes_option
@click.option("--no-wait", is_flag=True, help="End as soon as the leader has accepted.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    default=TIMEOUT_S,
    show_default=True,
    help="Seconds to watch for.",
)
@asks_daemon
@pass_invocation
def command(  # noqa: PLR0913 - one for each option
    invocation: Invocation,
    server: str,
    host: str | None,
    password_file: TextIO | None,
    timeout_s: float,
    *,
    force: bool,
    asks_password: bool,
    yes: bool,
    no_wait: bool,
) -> None:
    """Rebuild one guest of a dead host elsewhere.

    SERVER is a uuid, or a name that only one guest has; HOST the destination, else the scheduler
    chooses. The dead host is fenced first, and without proof of its death nothing moves. A
    password is told to the leader only, in this very command; nothing keeps it.
    """
    if force and host is None:
        raise click.UsageError("--force skips the scheduler for one destination: name HOST")
    if asks_password and password_file is not None:
        raise click.UsageError("--password asks for what --password-file reads: give one")
    from hamon.cli.page import print_page

    client = invocation.client
    guest = client.ask("guest", guest=server)
    source = guest["owner"]
    if source is None:
        raise Failure(f"guest {guest['name']} was undefined on its host: nothing is left to move")
    check_target(client, source, host)
    shown = client.ask("host", host=source)
    check_named(shown, guest["guest"])
    print_page(preview(client, shown))
    if guest["opted_out"]:
        click.echo(
            f"guest {guest['name']} opted out of evacuation ({guest['opted_out']}):"
            " it is moved because you name it"
        )
    where = f" to {host}" if host else ""
    ask_in_words(
        invocation,
        f"Fence {source} unless that is proven already, and move guest {guest['name']}{where}?",
        yes=yes,
    )
    password = _password(password_file, asks=asks_password)
    wanted = Wanted(
        kind=RequestKind.EVACUATE,
        host=source,
        boot_id=shown["boot_id"],
        expected={guest["guest"]: guest["name"]},
        target=host,
        guest=guest["guest"],
        force=force,
        password=password,
    )
    raise SystemExit(carry_out(client, wanted, no_wait=no_wait, timeout_s=timeout_s))


def _password(file: TextIO | None, *, asks: bool) -> str | None:
    """Return the password the guest is to have, None: Nova makes one.

    Raises:
        UsageError: what was given is empty.
    """
    if asks:
        given: str = click.prompt(
            "Password of the guest", hide_input=True, confirmation_prompt=True
        )
    elif file is not None:
        given = file.readline().rstrip("\r\n")
    else:
        return None
    if not given:
        raise click.UsageError("the password is empty")
    return given
