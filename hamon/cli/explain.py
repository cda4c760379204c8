"""``hamon explain``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from hamon.cli.invocation import Invocation, asks_daemon, format_option, pass_invocation

_POWER_SHOWN = 2
"""Power readings shown of each device, the newest: two together may be a proof."""

_GUESTS_SHOWN = 20
_BY_NOVA = "(Nova chooses)"

_NEXT = {
    "convicted": "It is fenced when all of these are so",
    "proven": "It is proven dead when all of these are so",
}


@click.command("explain")
@click.argument("subject", metavar="HOST|INCIDENT")
@format_option
@asks_daemon
@pass_invocation
def command(invocation: Invocation, subject: str, output: str) -> None:
    """Why something is or is not done about a host or incident.

    Of a host: the evidence, what hamon concludes from it now, the rule and the configuration
    behind it, what stands in the way, and what you can do. Of an incident, also of a closed one:
    its story in order.
    """
    from hamon.cli.page import print_json, print_page

    answer = invocation.client.ask("explain", host=subject)
    if output == "json":
        print_json(answer)
    elif answer["about"] == "incident":
        print_page(_incident_page(answer))
    else:
        print_page(_host_page(answer))


def _host_page(answer: dict[str, Any]) -> Iterator[Any]:
    from hamon.cli.host_show import evidence, host_header, thoughts
    from hamon.cli.incident_list import counted
    from hamon.cli.page import age, heading, line

    yield from host_header(answer)
    yield line(f"in this state for {age(answer['state_for_s'])}, as far as was seen from here")
    yield from _verdict(answer)
    yield from thoughts(answer)
    if not answer["reasons"] and not answer["planned"]:
        yield heading("Why")
        yield line("nothing is to be said: all is well")
    yield from _needs(answer)
    yield from _in_active_mode(answer)
    yield from evidence({**answer, "power": _newest(answer["power"])})
    yield from _history(answer)
    for incident in answer["incidents"]:
        end = "closed" if incident["closed"] else "open"
        guests = counted(incident["migrations"])
        yield line(f"incident {incident['incident']} ({end}), guests: {guests}")
    yield _seen_by(answer)


def _newest(readings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    devices = sorted({reading["device"] for reading in readings})
    by_device = ([r for r in readings if r["device"] == device] for device in devices)
    return [reading for found in by_device for reading in found[-_POWER_SHOWN:]]


def _verdict(answer: Mapping[str, Any]) -> Iterator[Any]:
    from hamon.cli.page import line
    from hamon.cli.wording import in_words

    verdict = answer["verdict"]
    if verdict is not None:
        words = in_words(verdict["code"], verdict["facts"])
        yield line(f"verdict now: {verdict['call']}: {words.text}")


def _needs(answer: Mapping[str, Any]) -> Iterator[Any]:
    """Say what the next step would need, and what of it is so."""
    from hamon.cli.page import heading

    if answer["next"] not in _NEXT:
        return
    yield heading(_NEXT[answer["next"]])
    witnesses = [need for need in answer["needs"] if need["witness"]]
    for need in answer["needs"]:
        if not need["witness"]:
            yield _need(need)
        elif need is witnesses[0]:
            is_met = any(each["met"] for each in witnesses)
            yield _box("a witness; one of these is enough:", is_met=is_met)
            for each in witnesses:
                yield _need(each, indent=4)


def _need(need: Mapping[str, Any], indent: int = 0) -> Any:  # noqa: ANN401 - rich's own
    from hamon.cli.wording import in_words

    return _box(in_words(need["code"], need["facts"]).text, is_met=need["met"], indent=indent)


def _box(text: str, *, is_met: bool, indent: int = 0) -> Any:  # noqa: ANN401 - rich's own
    from hamon.cli.page import NOTE, item

    mark = "[x]" if is_met else "[ ]"
    return item(mark, text, "" if is_met else NOTE, indent=indent)


def _in_active_mode(answer: Mapping[str, Any]) -> Iterator[Any]:
    """Say what would become of the guests of a host that only shadow mode keeps from being fenced.

    Without a destination and a reason against it, a guest goes where Nova's scheduler says.
    """
    from hamon.cli.page import ALARM, heading, line, table

    rows = answer["would_evacuate"]
    if rows is None:
        return
    yield heading("In active mode it would be fenced, and then its guests evacuated")
    if answer.get("guests_unknown"):
        yield line(answer["guests_unknown"], ALARM)
        return
    going = sum(1 for row in rows if row["destination"] or not row["why"])
    yield line(f"guests: {len(rows)}, of which could go now: {going}")
    if rows:
        yield table(
            ("GUEST", "WOULD GO TO", "WHY"),
            (
                (row["name"], row["destination"] or ("" if row["why"] else _BY_NOVA), row["why"])
                for row in rows[:_GUESTS_SHOWN]
            ),
        )
    if len(rows) > _GUESTS_SHOWN:
        more = len(rows) - _GUESTS_SHOWN
        yield line(f"and {more} more: `hamon evacuate-host {answer['host']} --dry-run`", "dim")


def _history(answer: Mapping[str, Any]) -> Iterator[Any]:
    """Say what was thought of a host lately, before there is an incident to write it into."""
    from hamon.cli.page import heading, item, when
    from hamon.cli.wording import in_words

    if answer["history"] and answer["next"] == "convicted":
        yield heading("What the leader thought before")
        for each in answer["history"]:
            yield item(when(each["at"]), in_words(each["code"], each["facts"]).text)


def _incident_page(answer: dict[str, Any]) -> Iterator[Any]:
    from hamon.cli.host_show import leaderless, thoughts
    from hamon.cli.page import line
    from hamon.cli.story import guests, header, proof_and_shots, timeline, what_was_known

    yield from leaderless(answer)
    yield from header(answer)
    yield from timeline(answer)
    yield from what_was_known(answer)
    yield from proof_and_shots(answer)
    yield from guests(answer)
    if not answer["closed"]:
        now = {**answer, "policy": answer["policy_now"]}
        yield from thoughts(now, why="Still open, because")
        if not answer["reasons"] and not answer["planned"]:
            yield line("still open: it is closed when the host is back in service")
        if answer["is_configured"]:
            yield line(f"`hamon explain {answer['host']}` says how the host stands now", "dim")
    yield _seen_by(answer)


def _seen_by(answer: Mapping[str, Any]) -> Any:  # noqa: ANN401 - rich's own
    from hamon.cli.page import line

    role = "which leads" if answer["is_leading"] else "which stands by and only thinks along"
    leader = "" if answer["is_leading"] else f"; {answer['leader'] or 'no controller'} leads"
    return line(f"as seen by {answer['seen_by']}, {role}{leader}")
