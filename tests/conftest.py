"""What holds for every test: Hypothesis repeats itself; and the lab with an OpenStack.

Hypothesis sets no deadline of its own: no timing asserts, so the same examples in every run.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from lab.lab import Lab
from lab.topology import Backend
from tests.openstack import put_last
from tests.shared_lab import SharedLab

settings.register_profile("hamon", deadline=None, derandomize=True)
settings.load_profile("hamon")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the tests that need the lab below come last."""
    put_last(items)


@pytest.fixture(scope="session")
def nova_lab() -> Iterator[SharedLab]:
    """A lab with a real OpenStack and without hamon, for all tests that need no more."""
    shared = SharedLab(_with_openstack)
    try:
        yield shared
    finally:
        shared.remove()


def _with_openstack(name: str) -> Lab:
    return Lab.create(name, controllers=1, hosts=2, daemons=0, backend=Backend.NOVA)
