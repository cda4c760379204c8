"""Labs for all tests of hamon in this folder, one a backend, repaired before each of them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from lab.lab import Lab
from lab.topology import Backend, Computes
from tests.integration.nova_world import NovaWorld
from tests.integration.world import World
from tests.shared_lab import SharedLab

# Sessions of eight seconds: what is tested is what hamon does when one ends, not that a busy
# machine makes it end. The benchmark is where times are measured, with sessions of four.
TICK_S = 1.0

_W = TypeVar("_W", bound=World)
_CALL = pytest.StashKey[pytest.CallInfo[None] | None]()


def _make(name: str) -> Lab:
    return Lab.create(name, controllers=3, hosts=3, daemons=2, tick_s=TICK_S)


@pytest.fixture(scope="session")
def shared_lab() -> Iterator[SharedLab]:
    """The lab of this session, taken down at its end."""
    shared = SharedLab(_make)
    try:
        yield shared
    finally:
        shared.remove()


def _make_with_nova(name: str) -> Lab:
    backend = Backend.NOVA
    return Lab.create(name, controllers=3, hosts=3, daemons=2, backend=backend, tick_s=TICK_S)


@pytest.fixture(scope="session")
def hamon_nova_lab(shared_lab: SharedLab, nova_lab: SharedLab) -> Iterator[SharedLab]:
    """The lab of this session with OpenStack and hamon; the others are not needed any more."""
    shared_lab.remove()
    nova_lab.remove()
    shared = SharedLab(_make_with_nova)
    try:
        yield shared
    finally:
        shared.remove()


def _make_with_other_computes(name: str) -> Lab:
    return Lab.create(
        name,
        controllers=3,
        hosts=3,
        daemons=2,
        backend=Backend.NOVA,
        computes=Computes(has_service_names=True, agentless=1),
        tick_s=TICK_S,
    )


@pytest.fixture(scope="session")
def other_computes_lab(
    shared_lab: SharedLab, nova_lab: SharedLab, hamon_nova_lab: SharedLab
) -> Iterator[SharedLab]:
    """Likewise, with service names that are not their hosts' and no agent on h3."""
    for other in (shared_lab, nova_lab, hamon_nova_lab):
        other.remove()
    shared = SharedLab(_make_with_other_computes)
    try:
        yield shared
    finally:
        shared.remove()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember how the test itself went, for the fixture below."""
    report = yield
    if call.when == "call":
        item.stash[_CALL] = call
    return report


@pytest.fixture
def world(shared_lab: SharedLab, request: pytest.FixtureRequest) -> Iterator[World]:
    """The lab as one test sees it; at the end, what must hold after every test."""
    lab, prefix = shared_lab.repaired()
    with lab.observer() as watching, _checked(World(lab, watching, prefix), request) as world:
        yield world


@pytest.fixture
def nova_world(hamon_nova_lab: SharedLab, request: pytest.FixtureRequest) -> Iterator[NovaWorld]:
    """The same with OpenStack."""
    lab, prefix = hamon_nova_lab.repaired()
    with lab.observer() as watching, _checked(NovaWorld(lab, watching, prefix), request) as world:
        yield world


@pytest.fixture
def other_computes(
    other_computes_lab: SharedLab, request: pytest.FixtureRequest
) -> Iterator[NovaWorld]:
    """The lab whose computes are of other kinds, as one test sees it."""
    lab, prefix = other_computes_lab.repaired()
    with lab.observer() as watching, _checked(NovaWorld(lab, watching, prefix), request) as world:
        yield world


@contextmanager
def _checked(world: _W, request: pytest.FixtureRequest) -> Iterator[_W]:
    yield world
    call = request.node.stash.get(_CALL, None)
    has_passed = call is not None and call.excinfo is None
    try:
        if has_passed:
            world.check()
    except BaseException:
        has_passed = False
        raise
    finally:
        if not has_passed:
            print(world.describe())  # noqa: T201 - pytest shows it with the failure
