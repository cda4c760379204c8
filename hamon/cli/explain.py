"""``hamon explain``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from hamon.cli.invocation import Invocation, asks_daemon, format_option, pass_invocation


@click.command("explain")
@click.argument("host")
@format_option
@asks_daemon
@pass_invocation
def command(invocation: Invocation, host: str, output: str) -> None:
    """Why something is or is not done about a host.

    The evidence, what hamon concludes from it now, what stands in the way, and what you can do.
    """
    from hamon.cli.page import print_json, print_page

    answer = invocation.client.ask("explain", host=host)
    if output == "json":
        print_json(answer)
    else:
        print_page(_page(answer))


def _page(answer: dict[str, Any]) -> Iterator[Any]:
    from hamon.cli.host_show import evidence, host_header
    from hamon.cli.page import heading, line

    yield from host_header(answer)
    # What holds comes first; the order within is that of the decision.
    reasons = sorted(answer["reasons"], key=lambda reason: reason["code"] != "hold")
    yield heading("Why")
    if not reasons and not answer["planned"]:
        yield line("- nothing is to be said: all is well")
    for reason in reasons:
        yield from _sentence(answer, reason)
    if answer["planned"]:
        yield heading("Being done now")
        for reason in answer["planned"]:
            yield from _sentence(answer, reason)
    yield from evidence(answer)
    for incident in answer["incidents"]:
        counted = ", ".join(f"{n} {status}" for status, n in incident["migrations"].items())
        end = "closed" if incident["closed"] else "open"
        yield line(f"incident {incident['incident']} ({end}): {counted or 'no migration'}")
    role = "which leads" if answer["is_leading"] else "which stands by and only thinks along"
    yield line(f"as seen by {answer['seen_by']}, {role}")


def _sentence(answer: dict[str, Any], reason: dict[str, Any]) -> Iterator[Any]:
    from hamon.cli.page import line
    from hamon.cli.wording import hold_in_words, in_words

    facts = dict(reason["facts"])
    # The host is the subject of the page; a guest is called by its name where that is known.
    subject = facts.get("name", reason["subject"])
    words = in_words(reason["code"], facts)
    advice = words.advice
    if reason["code"] == "hold":
        advice = hold_in_words(facts["kind"], reason["subject"]).advice
    is_said = subject == answer["host"] or subject in words.text
    yield line(f"- {words.text}" if is_said else f"- {subject}: {words.text}")
    if advice:
        yield line(f"    {advice}", "italic")
