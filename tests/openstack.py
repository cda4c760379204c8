"""Which tests need the lab's OpenStack: marked, run one after another, last of all."""

from __future__ import annotations

import shutil

import pytest

WITH_HAMON = "hamon_nova_lab"
"""The fixture of the lab with OpenStack and hamon."""

WITH_OTHER_COMPUTES = "other_computes_lab"
"""That of the same with computes of other kinds."""

NEEDS_OPENSTACK = [
    pytest.mark.integration,
    pytest.mark.openstack,
    pytest.mark.skipif(
        shutil.which("mariadbd") is None, reason="needs lab/openstack/debian-packages.txt"
    ),
]
"""Marks of a test on a lab with OpenStack; most of them are slow as well."""


def put_last(items: list[pytest.Item]) -> None:
    """Order tests so that those with the mark come last, by the lab that they use.

    A lab stays up from the first of them to the last, and takes from a machine of two cores what
    tests that wait for other labs need.
    """
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    if item.get_closest_marker("openstack") is None:
        return 0
    fixtures = getattr(item, "fixturenames", ())
    if WITH_OTHER_COMPUTES in fixtures:
        return 3
    return 2 if WITH_HAMON in fixtures else 1
