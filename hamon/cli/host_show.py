"""``hamon host show``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from hamon.cli.invocation import Invocation, asks_daemon, format_option, pass_invocation

if TYPE_CHECKING:
    from hamon.cli.rules import Rule


@click.command("show")
@click.argument("host")
@format_option
@asks_daemon
@pass_invocation
def command(invocation: Invocation, host: str, output: str) -> None:
    """Everything known of one host, and its guests.

    For each guest whether it would be moved, and why not.
    """
    from hamon.cli.page import print_json, print_page

    answer = invocation.client.ask("host", host=host)
    if output == "json":
        print_json(answer)
    else:
        print_page(_page(answer))


def _page(answer: dict[str, Any]) -> Iterator[Any]:
    from hamon.cli.page import ALARM, heading, line, table

    yield from host_header(answer)
    for plane in answer["planes"]:
        yield line(f"plane {plane['plane']}: {plane['address']} port {plane['port']}")
    for device in answer["fence"]:
        yield line(f"fence level {device['level']}: {device['name']} ({device['kind']})")
    capacity = answer["capacity"]
    if capacity is not None:
        yield line(f"capacity: {capacity['ram_mib']} MiB RAM, {capacity['vcpus']} CPUs")
    yield from _checks(answer)
    yield from thoughts(answer)
    yield from evidence(answer)
    is_stale = bool(answer.get("guests_unknown"))
    if is_stale:
        yield line(answer["guests_unknown"], ALARM)
    if not answer["guests"]:
        if not is_stale:
            yield heading("Guests: none known")
        return
    title = "Guests when Nova last answered" if is_stale else "Guests"
    yield heading(f"{title}: {len(answer['guests'])}")
    # Without its agent nothing is known of what runs there now.
    here = "HERE" if answer["session"] or answer["agentless"] else "LAST SEEN HERE"
    yield table(
        ("GUEST", here, "WANTED", "PROTECTED", "UUID"),
        (
            (g["name"], g["domain"] or "-", g["wanted"], _protection(g, answer), g["guest"])
            for g in answer["guests"]
        ),
    )


def _checks(answer: dict[str, Any]) -> Iterator[Any]:
    """Say what the host finds wrong with itself."""
    from hamon.cli.page import ALARM, NOTE, line

    checks = answer["checks"]
    if checks is None:
        return
    if checks["boot_id"] != answer["boot_id"]:
        yield line("its own checks: none yet in this boot", NOTE)
    elif not checks["failed"]:
        yield line("its own checks: all passed")
    else:
        for name, why in sorted(checks["failed"].items()):
            yield line(f"its own check {name} failed: {why}", ALARM)


def host_header(answer: dict[str, Any]) -> Iterator[Any]:
    """Say which host this is and how it stands: the same first lines in every command."""
    from rich.text import Text

    from hamon.cli.failure import printable
    from hamon.cli.page import NOTE, line, state, when

    yield from leaderless(answer)
    yield Text(printable(f"{answer['host']}: ")) + state(answer["state"])
    if answer["since"]:
        why = f": {answer['reason'].replace('_', ' ')}" if answer["reason"] else ""
        yield line(f"since {when(answer['since'])}{why}")
    if answer["agentless"]:
        yield from _agentless(answer)
    else:
        session = "its agent's session lives" if answer["session"] else "no session of its agent"
        yield line(f"boot {answer['boot_id'] or 'never seen'}; {session}")
    if answer["reserved"]:
        yield line(f"reserved, {answer['reserved']}", NOTE)
    if answer["maintenance"]:
        yield line("in maintenance: never suspected, never fenced", NOTE)
    if answer["incident"]:
        yield line(f"incident {answer['incident']}", NOTE)


def leaderless(answer: dict[str, Any]) -> Iterator[Any]:
    """Say that nobody leads, where that is so: then nothing else on the page is being done."""
    from hamon.cli.page import ALARM, line

    if answer["leader"] is None:
        yield line("no controller leads: nothing is decided, and nothing new is done", ALARM)


def nova_in_words(answer: dict[str, Any]) -> str:
    """Say how a host without an agent stands by Nova's word."""
    if answer["nova"]["why"]:
        return f"nova-compute unknown: {answer['nova']['why']}"
    return f"nova-compute {answer['nova']['word']}"


def _agentless(answer: dict[str, Any]) -> Iterator[Any]:
    from hamon.cli.page import NOTE, line

    beat_at = answer["nova"]["beat_at"]
    seen = f", row last written {beat_at}" if beat_at else ""
    yield line(f"no agent; by Nova's word: {nova_in_words(answer)}{seen}")
    yield line("never fenced by itself, only by a person: `hamon evacuate-host`", NOTE)
    yield line("stale copies of guests cannot be looked for on it", NOTE)


def thoughts(answer: dict[str, Any], why: str = "Why") -> Iterator[Any]:
    """Say why something is done about a host or not, and what is being done now.

    With the rule behind each reason where the answer has the policy's values.
    """
    from hamon.cli.page import heading

    # What holds comes first; the order within is that of the decision.
    reasons = sorted(answer["reasons"], key=lambda reason: reason["code"] != "hold")
    told: set[str] = set()
    if reasons:
        yield heading(why)
    for reason in reasons:
        yield from _sentence(answer, reason, told)
    if answer["planned"]:
        leads = answer["is_leading"]
        yield heading("Being done now" if leads else "What this controller would do if it led")
    for reason in answer["planned"]:
        yield from _sentence(answer, reason, told)


def evidence(answer: dict[str, Any]) -> Iterator[Any]:
    """Say what each source of evidence says, and how old that is."""
    from hamon.cli.page import age, heading, table

    rows = [
        (
            seen["source"],
            seen["subject"],
            seen["vote"],
            age(seen["for_s"]) if "for_s" in seen else "",
            age(seen["age_s"]),
            seen.get("detail", ""),
        )
        for seen in answer["evidence"]
    ]
    rows += [
        ("power", seen["device"], seen["power"], "", age(seen["age_s"]), seen["detail"])
        for seen in answer.get("power", ())
    ]
    if rows:
        yield heading("Evidence")
        yield table(("SOURCE", "THROUGH", "SAYS", "FOR", "AGE", "DETAIL"), rows)


def _sentence(answer: dict[str, Any], reason: dict[str, Any], told: set[str]) -> Iterator[Any]:
    from hamon.cli.page import item
    from hamon.cli.rules import hold_named, rule_of
    from hamon.cli.wording import hold_in_words, in_words

    facts = dict(reason["facts"])
    # The host is the subject of the page; a guest is called by its name where that is known.
    subject = facts.get("name", reason["subject"])
    words = in_words(reason["code"], facts)
    advice = words.advice
    kind = hold_named(reason["code"], facts)
    if kind is not None:
        # What ends this hold; said once, of the hold itself or of what it holds.
        advice = hold_in_words(kind, reason["subject"]).advice or advice
        advice = "" if advice in told else advice
        told.add(advice)
    is_said = subject == answer["host"] or subject in words.text
    yield item("-", words.text if is_said else f"{subject}: {words.text}")
    if advice:
        yield item("do:", advice, "italic", indent=4)
    if "policy" in answer:
        own = answer.get("own_choices", ())
        yield from rule_told(rule_of(reason["code"], facts), answer["policy"], own, told)


def rule_told(
    rule: Rule | None,
    policy: Mapping[str, str],
    own: Collection[str],
    told: set[str],
    indent: int = 4,
) -> Iterator[Any]:
    """Say the rule behind a reason, and the values it rests on, once a page.

    Args:
        rule: None: there is none to tell.
        policy: the values by key, as they are or were in force.
        own: keys that the host chose for itself.
        told: the rules already on the page; this one is added.
        indent: columns before it.
    """
    from hamon.cli.page import item

    if rule is None or rule.text in told:
        return
    told.add(rule.text)
    values = [
        f"{key} = {policy[key] or '(empty)'}{' (hosts.d)' if key in own else ''}"
        for key in rule.keys
        if key in policy
    ]
    text = f"{rule.text} ({', '.join(values)})" if values else rule.text
    yield item("rule:", text, "dim", indent=indent)


def _protection(guest: dict[str, Any], host: dict[str, Any]) -> str:
    if guest["not_movable"]:
        return "no: " + ", ".join(guest["not_movable"])
    if guest["owner"] is None:
        return "not yet"
    if guest["owner"] != host["host"]:
        return f"on {guest['owner']}"
    return "moving" if guest["migration"] else "yes"
