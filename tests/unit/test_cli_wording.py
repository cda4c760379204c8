"""Every reason that hamon can give has a sentence, and every sentence can be filled."""

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest
from typing_extensions import override

import hamon
from hamon.cli.wording import HOLD_WORDINGS, WORDINGS, fields_of, hold_in_words, in_words
from hamon.model.control import HoldKind

ROOT = Path(hamon.__file__).parent


@dataclass(frozen=True)
class Given:
    """A reason as the source gives it; ``facts`` None: they are passed on from elsewhere."""

    code: str
    facts: frozenset[str] | None
    where: str


Function = ast.FunctionDef | ast.AsyncFunctionDef


class Calls(ast.NodeVisitor):
    """All calls of a source tree by bare name, each with the innermost function around it."""

    def __init__(self) -> None:
        self.by_name: dict[str, list[tuple[str, ast.Call, Function | None]]] = {}
        self._file = ""
        self._around: list[Function] = []

    def read(self, path: Path) -> None:
        """Add one file."""
        self._file = str(path.relative_to(ROOT))
        self.visit(ast.parse(path.read_text()))

    @override
    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Remember where we are."""
        self._around.append(node)
        self.generic_visit(node)
        self._around.pop()

    @override
    def visit_Call(self, node: ast.Call) -> None:
        """Write the call down."""
        called = node.func
        name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
        around = self._around[-1] if self._around else None
        self.by_name.setdefault(name, []).append((f"{self._file}:{node.lineno}", node, around))
        self.generic_visit(node)


def reasons_given() -> list[Given]:
    """Every reason in hamon's source: given directly, by a parameter, or by a variable."""
    calls = Calls()
    for path in sorted(ROOT.rglob("*.py")):
        calls.read(path)
    given = []
    for where, call, around in calls.by_name["reason"]:
        code = call.args[0]
        if isinstance(code, ast.Constant):
            given.append(Given(str(code.value), keywords_of(call), where))
            continue
        assert isinstance(code, ast.Name), f"{where}: this test cannot read how the code is made"
        assert around is not None
        through = codes_through(around, code.id, calls)
        assert through, f"{where}: cannot tell which codes {code.id} may be"
        given += [Given(text, None, where) for text in sorted(through)]
    return given


def codes_through(function: Function, name: str, calls: Calls) -> set[str]:
    """Codes that reach ``reason`` through a variable or a parameter of the function around it."""
    assigned = [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
    ]
    if assigned:
        return {text for value in assigned for text in branches(value)}
    position = [argument.arg for argument in function.args.args].index(name)
    found: set[str] = set()
    for _, call, around in calls.by_name.get(function.name, []):
        if len(call.args) <= position:
            continue
        given = call.args[position]
        if isinstance(given, ast.Name) and around is not None and around is not function:
            found |= codes_through(around, given.id, calls)
        else:
            found |= branches(given)
    return found


def branches(value: ast.expr) -> set[str]:
    """Texts that an expression may be; of a choice both branches, but not the condition."""
    if isinstance(value, ast.IfExp):
        return branches(value.body) | branches(value.orelse)
    return {
        part.value
        for part in ast.walk(value)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }


def keywords_of(call: ast.Call) -> frozenset[str] | None:
    """Names of a call's keyword arguments, None if some are passed on."""
    names = [keyword.arg for keyword in call.keywords]
    return None if None in names else frozenset(name for name in names if name is not None)


GIVEN = reasons_given()


def test_reasons__collected_from_the_source__are_the_known_ways() -> None:
    """The collector sees codes given directly, through a parameter and through a variable."""
    codes = {given.code for given in GIVEN}

    assert {"host_fenced", "power_on_again", "host_evacuated", "plane_not_heard"} <= codes


@pytest.mark.parametrize("code", sorted({given.code for given in GIVEN}))
def test_reason_code__given_somewhere__has_a_sentence(code: str) -> None:
    """Nobody has to look up a code at three in the morning."""
    assert code in WORDINGS, "write its sentence in hamon/cli/wording.py"


@pytest.mark.parametrize("code", sorted(WORDINGS))
def test_sentence__written_down__is_of_a_code_that_exists(code: str) -> None:
    """A sentence that nothing can say any more goes."""
    assert code in {given.code for given in GIVEN}


@pytest.mark.parametrize(
    "given",
    [given for given in GIVEN if given.facts is not None],
    ids=lambda given: f"{given.code}@{given.where}",
)
def test_sentence__filled_with_the_facts_of_each_place__has_no_gap(given: Given) -> None:
    """A sentence mentions only facts that every place which gives its reason passes along.

    Places that pass on facts from elsewhere cannot be judged here.
    """
    assert given.facts is not None
    wording = WORDINGS[given.code]

    assert fields_of(wording.text) | fields_of(wording.advice) <= given.facts


def test_in_words__fact_not_mentioned__is_put_behind() -> None:
    """Nothing that was known is lost in the wording."""
    words = in_words("fence_failed", {"retry_in_s": "12.00"})

    assert words.text.endswith("[retry_in_s 12.00]")


def test_in_words__code_of_a_newer_daemon__is_shown_as_it_is() -> None:
    """An old command line beside a new daemon still says something."""
    assert in_words("moon_in_the_way", {"phase": "full"}).text == "moon in the way [phase full]"


@pytest.mark.parametrize("kind", list(HoldKind))
def test_hold__of_each_kind__says_what_ends_it(kind: HoldKind) -> None:
    """A hold that pages tells what to do."""
    assert kind in HOLD_WORDINGS
    assert hold_in_words(kind, "host-1").advice
