"""Which tests need the lab's OpenStack: marked, run one after another, last of all."""

from __future__ import annotations

import shutil

import pytest

NEEDS_OPENSTACK = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.openstack,
    pytest.mark.skipif(
        shutil.which("mariadbd") is None, reason="needs lab/openstack/debian-packages.txt"
    ),
]
"""Marks of a test that uses the fixture `nova_lab`."""


def put_last(items: list[pytest.Item]) -> None:
    """Order tests so that those with the mark come last and in one piece.

    The lab stays up from the first of them to the end, and takes from a machine of two cores what
    tests that wait for other labs need.
    """
    items.sort(key=lambda item: item.get_closest_marker("openstack") is not None)
