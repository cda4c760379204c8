"""A group of commands that loads a command only when it is called.

A compute host has neither rich nor pydantic, and a question should not wait for what it does not
need.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """A group whose commands are named, with their summaries, before any of them is loaded.

    Args:
        commands_in: verb to (module that defines ``command``, one-line summary).
    """

    def __init__(
        self,
        *,
        commands_in: Mapping[str, tuple[str, str]],
        **attributes: Any,  # noqa: ANN401 - click's own, passed through
    ) -> None:
        super().__init__(**attributes)
        self._commands_in = commands_in

    # typing.override, for what follows, comes with Python 3.12.
    def list_commands(self, ctx: click.Context) -> list[str]:  # type: ignore[explicit-override]
        """Name the verbs in the order they are to be read."""
        return list(self._commands_in)

    def get_command(  # type: ignore[explicit-override]
        self, ctx: click.Context, cmd_name: str
    ) -> click.Command | None:
        """Load one command; None: there is no such verb."""
        if cmd_name not in self._commands_in:
            return None
        module, _ = self._commands_in[cmd_name]
        command = import_module(module).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(  # type: ignore[explicit-override]
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the list of verbs without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, text) for verb, (_, text) in self._commands_in.items()])

    def summary_of(self, verb: str) -> str:
        """Return the one-line summary of a verb without loading it."""
        return self._commands_in[verb][1]
