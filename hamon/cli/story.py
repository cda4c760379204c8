"""The parts of a page about an incident: who opened it and why, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

_MINUTE_S = 60
_HOUR_S = 3600

_GUEST_PHASES = {
    "sent": ("scheduled", "sent", "adopted"),
    "claimed": ("claimed",),
    "there": ("done", "failed", "stays"),
}
"""Columns of the table of guests, and the stamps of either backend that fill them."""


def header(answer: Mapping[str, Any]) -> Iterator[Any]:
    """Say which incident this is, of what, by whom, and how it stands."""
    from rich.text import Text

    from hamon.cli.failure import printable
    from hamon.cli.page import CALM, NOTE, line, state, when
    from hamon.cli.wording import in_words

    stamps = answer["stamps"]
    if answer["closed"]:
        end = Text(f"closed {when(stamps.get('returned', ''))}".rstrip(), style=CALM)
    else:
        end = Text("open, the host is ", style=NOTE) + state(answer["host_state"] or "unknown")
    yield Text(printable(f"incident {answer['incident']}: ")) + end
    by = f"by {answer['who']}" if answer["who"] else "by the detector"
    yield line(f"host {answer['host']}, boot {answer['boot_id'] or 'unknown'}")
    why = in_words(answer["reason"], _facts_of_reason(answer)).text
    yield line(f"opened {when(stamps.get('convicted', ''))} {by}: {why}")
    for passed in answer["overridden"]:
        yield line(f"passed by hand: {passed}", NOTE)
    if answer["only"]:
        yield line(f"only {len(answer['only'])} of its guests, as asked for")
    if answer["target"]:
        yield line(f"to host {answer['target']}, as asked for")


def _facts_of_reason(answer: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the facts of what carried the conviction: the story has them, the record its code."""
    for each in answer["timeline"]:
        if each["code"] == answer["reason"]:
            return dict(each["facts"])
    return {"who": answer["who"]} if answer["reason"] == "confirmed_down" else {}


def what_was_known(answer: Mapping[str, Any]) -> Iterator[Any]:
    """Say what carried the conviction, line by line."""
    from hamon.cli.page import heading, item

    if answer["evidence"]:
        yield heading("Evidence at the conviction")
    for each in answer["evidence"]:
        yield item("-", each)


def proof_and_shots(answer: Mapping[str, Any]) -> Iterator[Any]:
    """Say how its death was proven, and every order that was given."""
    from hamon.cli.page import NOTE, heading, line, table, when

    proof = answer["proof"]
    if proof is None:
        yield line("not proven dead" if answer["closed"] else "not proven dead yet", NOTE)
    else:
        by = f" by {proof['operator']}" if proof["operator"] else ""
        yield line(f"proven dead {when(proof['at'])}, {proof['method']}{by}: {proof['detail']}")
    if answer["shots"]:
        yield heading("Orders to cut its power")
        yield table(
            ("AT", "DEVICE", "LEVEL", "TRY", "BECAME", "BY", "DETAIL"),
            (
                (
                    when(shot["at"]),
                    shot["device"],
                    shot["level"],
                    shot["attempt"],
                    shot["outcome"],
                    shot["controller"],
                    shot["detail"],
                )
                for shot in answer["shots"]
            ),
        )


def guests(answer: Mapping[str, Any]) -> Iterator[Any]:
    """Say of each guest where it went and when, in time since the first sign."""
    from hamon.cli.page import heading, line, table

    moved = answer["migrations"]
    yield heading(f"Guests: {len(moved)}" if moved else "Guests: no migration")
    began = first_sign(answer)
    if moved:
        yield table(
            ("GUEST", "STATUS", "TO", *(name.upper() for name in _GUEST_PHASES), "WHY"),
            (
                (
                    each["name"],
                    each["status"],
                    each["dest_compute"] or "-",
                    *(_stamp(each["stamps"], names, began) for names in _GUEST_PHASES.values()),
                    each["reason"],
                )
                for each in moved
            ),
        )
    for each in answer["not_movable"]:
        yield line(f"- {each['name']} cannot move: {', '.join(each['why'])}")


def timeline(answer: Mapping[str, Any]) -> Iterator[Any]:
    """Tell what happened, in order, with the rule behind each decision where it comes first."""
    from hamon.cli.host_show import rule_told
    from hamon.cli.page import heading, item, when
    from hamon.cli.rules import rule_of
    from hamon.cli.wording import in_words

    moments = answer["timeline"]
    if not moments:
        yield heading("Its story was not kept: it is of an older version")
        return
    began = first_sign(answer)
    yield heading(f"Story, since the first sign at {when(began)}")
    told: set[str] = set()
    for each in moments:
        words = in_words(each["code"], each["facts"])
        yield item(f"{since(began, each['at']):>9}", words.text)
        rule = rule_of(each["code"], each["facts"])
        yield from rule_told(rule, answer["policy"], (), told, indent=10)


def first_sign(answer: Mapping[str, Any]) -> str:
    """Return when the story begins: the first moment kept, else the conviction."""
    moments = answer["timeline"]
    return str(moments[0]["at"] if moments else answer["stamps"].get("convicted", ""))


def since(began: str, at: str) -> str:
    """Return how long after the beginning something was, to be read at a glance."""
    try:
        passed_s = (datetime.fromisoformat(at) - datetime.fromisoformat(began)).total_seconds()
    except (ValueError, TypeError):
        return at
    if abs(passed_s) < 10 * _MINUTE_S:
        return f"{passed_s:+.1f} s"
    minutes, seconds = divmod(int(passed_s), _MINUTE_S)
    if passed_s < _HOUR_S:
        return f"+{minutes}:{seconds:02}"
    return f"+{minutes // _MINUTE_S}:{minutes % _MINUTE_S:02}:{seconds:02}"


def _stamp(stamps: Mapping[str, str], names: tuple[str, ...], began: str) -> str:
    found = [stamps[name] for name in names if name in stamps]
    return since(began, max(found)) if found else ""
