"""The table of faults: no row without a test, no claim that the tests do not make."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fault_table import MUST_BE_TESTED, ROWS, Meeting, Pace, Place, gaps, rendered

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def written() -> subprocess.CompletedProcess[str]:
    """What the program writes; in a process of its own, for it collects all tests anew."""
    return subprocess.run(
        [sys.executable, "-m", "tests.fault_table"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def a_meeting(row: str = "F1", pace: Pace = Pace.USUAL) -> Meeting:
    """Return a test that meets a fault."""
    return Meeting(row=row, place=Place.UNIT, test="tests/unit/test_a.py::test_a", pace=pace)


def test_marks__every_row_that_must_be_tested__is_tested(
    written: subprocess.CompletedProcess[str],
) -> None:
    """No fault is forgotten."""
    assert 0 == written.returncode, written.stderr


def test_page__in_docs__is_the_rendered_one(written: subprocess.CompletedProcess[str]) -> None:
    """What is claimed is what the tests say of themselves."""
    page = (ROOT / "docs/faults.md").read_text()

    assert page == written.stdout, "run: python -m tests.fault_table > docs/faults.md"


def test_rows__of_the_matrix__are_all_there() -> None:
    """Nothing that can go wrong is left out of the table, tested or not."""
    assert [f"F{number}" for number in range(1, 57)] == list(ROWS)
    assert {*MUST_BE_TESTED} <= ROWS.keys()


def test_gaps__row_without_test__is_told() -> None:
    """Of all that must be tested one row is not: that one is told."""
    missing, *tested = MUST_BE_TESTED

    [told] = gaps([a_meeting(number) for number in tested])
    assert told.startswith(f"{missing} (")


@pytest.mark.parametrize(
    ("paces", "count"),
    [
        ((Pace.USUAL,), "1"),
        ((Pace.PARTLY, Pace.USUAL), "2"),
        ((Pace.SLOW,), "(1)"),
        ((Pace.SLOW, Pace.USUAL), "1 (1)"),
    ],
)
def test_page__slow_tests__are_counted_apart(paces: tuple[Pace, ...], count: str) -> None:
    """What only `make test-all` runs is not shown as if every change were held against it."""
    page = rendered([a_meeting(pace=pace) for pace in paces])

    [line] = [line for line in page.splitlines() if line.startswith("| F1 |")]
    assert count == line.split("|")[-2].strip()
    assert sum(pace is Pace.SLOW for pace in paces) == page.count("::test_a` (in `make test-all`)")
