"""Asking a person before something happens. ``--yes`` skips the question, never a safety rule."""

from __future__ import annotations

import click

from hamon.cli.failure import ExitCode, Failure
from hamon.cli.invocation import Invocation


def ask_in_words(invocation: Invocation, question: str, *, yes: bool) -> None:
    """Go on only if a person answers yes.

    Raises:
        Failure: the answer is no, or there is nobody to ask.
    """
    if yes:
        return
    _need_person(invocation)
    if not click.confirm(question, default=False):
        raise Failure("nothing was done")


def ask_for_name(invocation: Invocation, what: str, name: str, *, yes: bool) -> None:
    """Go on only if a person types the exact name.

    Raises:
        Failure: something else was typed, or there is nobody to ask.
    """
    if yes:
        return
    _need_person(invocation)
    typed = click.prompt(f"{what}\nType the exact name to go on", default="", show_default=False)
    if typed != name:
        raise Failure(f"{typed!r} is not {name!r}: nothing was done")


def _need_person(invocation: Invocation) -> None:
    if not invocation.is_interactive:
        raise Failure(
            "this asks before it acts, and there is no terminal to ask on: nothing was done",
            "add --yes if you are sure",
            ExitCode.USAGE,
        )
