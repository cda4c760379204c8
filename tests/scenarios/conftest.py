"""``pytest tests/scenarios --rewrite`` takes the events seen for the right ones."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option. Commit only what you understand."""
    parser.addoption("--rewrite", action="store_true", help="write golden logs anew")
