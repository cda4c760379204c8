"""Every reason that rests on a number of the configuration names the key, and every key exists."""

import ast
from collections.abc import Iterator
from dataclasses import fields

import pytest

from hamon.cli.rules import HOLD_RULES, RULES, Rule, rule_of
from hamon.cli.wording import WORDINGS
from hamon.model.control import HoldKind
from hamon.model.policy import (
    DetectionPolicy,
    EvacuationPolicy,
    FencingPolicy,
    HoldPolicy,
    HostPolicy,
    Policy,
    ReturnPolicy,
)
from hamon.model.policy_values import chosen_by, values_of
from hamon.settings.schema import MainFile
from tests.unit.test_cli_wording import ROOT, branches

TABLES = (DetectionPolicy, EvacuationPolicy, FencingPolicy, HoldPolicy, ReturnPolicy)
NUMBERS = {field.name for table in TABLES for field in fields(table)}

RESTS_ON_NONE = {
    "return_waits_for_host",
    "return_waits_for_libvirt",
    "return_waits_for_migrations",
    "return_waits_for_stale_guests",
}
"""Codes given in a function that reads a number of the policy, and that do not rest on it."""


def keys_known() -> set[str]:
    """Every key of hamon.toml."""
    found = set()
    for name, field in MainFile.model_fields.items():
        table = field.annotation
        names = getattr(table, "model_fields", None) or getattr(table, "__dataclass_fields__", {})
        found |= {f"{name}.{key}" for key in names}
    return found


def all_rules() -> Iterator[tuple[str, Rule]]:
    """Every rule, with what it is of."""
    yield from RULES.items()
    yield from ((f"hold {kind}", rule) for kind, rule in HOLD_RULES.items())


def codes_beside_numbers() -> dict[str, str]:
    """Codes of reasons given by a function that itself reads a number of the policy, and where."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        if path.name == "outlook.py":
            # It says the numbers themselves.
            continue
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            read = {
                node.attr
                for node in ast.walk(function)
                if isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name | ast.Attribute)
                and (node.value.id if isinstance(node.value, ast.Name) else node.value.attr)
                in {"policy", "detection", "fencing", "recovery", "evacuation", "holds"}
            }
            if not read & NUMBERS:
                continue
            for node in ast.walk(function):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Name)
                    and node.func.id == "reason"
                ):
                    found.update(
                        dict.fromkeys(branches(node.args[0]), f"{path.name}:{node.lineno}")
                    )
    return found


BESIDE = codes_beside_numbers()


def test_collector__of_the_source__sees_what_is_known() -> None:
    """The test below looks at something, and no exception is left over."""
    assert set(BESIDE) >= RESTS_ON_NONE
    assert {"kernel_answers_only", "fence_failed", "returns_forgotten"} <= set(BESIDE)


@pytest.mark.parametrize("code", sorted(BESIDE))
def test_reason__given_beside_a_number__names_its_key(code: str) -> None:
    """Whoever wants it otherwise is told which key to change."""
    rule = rule_of(code, {"by": HoldKind.STORM, "kind": HoldKind.STORM})

    if code in RESTS_ON_NONE:
        assert rule is None or not rule.keys, "take it out of RESTS_ON_NONE"
    else:
        assert rule is not None, f"write its rule in hamon/cli/rules.py ({BESIDE[code]})"
        assert rule.keys, BESIDE[code]


@pytest.mark.parametrize(("name", "rule"), list(all_rules()), ids=lambda each: str(each)[:30])
def test_rule__key_named__exists_in_the_schema_and_is_told_by_a_daemon(
    name: str, rule: Rule
) -> None:
    """A key that is renamed is renamed here."""
    assert rule.text, name
    assert set(rule.keys) <= keys_known()
    assert set(rule.keys) <= set(values_of(Policy()))


@pytest.mark.parametrize("code", sorted(RULES))
def test_rule__of_a_code__is_of_one_that_exists(code: str) -> None:
    """A rule that nothing can give any more goes."""
    assert code in WORDINGS


@pytest.mark.parametrize("kind", list(HoldKind))
def test_rule__of_what_is_held__is_that_of_the_hold(kind: HoldKind) -> None:
    """The numbers of a storm stand beside a conviction that a storm holds."""
    assert HOLD_RULES[kind] == rule_of("conviction_held", {"by": kind})
    assert HOLD_RULES[kind] == rule_of("hold", {"kind": kind})


def test_rule__of_a_hold_of_a_newer_daemon__is_still_one() -> None:
    """An old command line beside a new daemon still says something."""
    rule = rule_of("fencing_held", {"by": "moon"})

    assert rule is not None
    assert not rule.keys


def test_values__told_by_a_daemon__have_keys_of_the_schema() -> None:
    """What is shown can be found in the configuration file; so can a host's own choices."""
    assert set(values_of(Policy())) <= keys_known()
    assert chosen_by(HostPolicy()) == frozenset()
    assert {f"detection.{field.name}" for field in fields(HostPolicy)} <= set(values_of(Policy()))
