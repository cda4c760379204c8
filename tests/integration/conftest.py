"""One lab for all tests of hamon in this folder, repaired before each of them."""

from __future__ import annotations

import uuid
from collections.abc import Generator, Iterator

import pytest

from lab import records
from lab.lab import Lab
from lab.names import LabError
from tests.integration.world import World

# Sessions of eight seconds: what is tested is what hamon does when one ends, not that a busy
# machine makes it end. The benchmark is where times are measured, with sessions of four.
TICK_S = 1.0

_CALL = pytest.StashKey[pytest.CallInfo[None] | None]()


class SharedLab:
    """The lab of this session: made when first needed, made anew when it cannot be repaired."""

    def __init__(self) -> None:
        self._lab: Lab | None = None
        self._tests = 0

    def repaired(self) -> tuple[Lab, str]:
        """Return the lab, all well and without guests, and a new prefix for guests' names."""
        self._tests += 1
        if self._lab is not None:
            try:
                self._lab.repair(remove_guests=True)
            except LabError as error:
                print(f"the lab cannot be repaired and is made anew: {error}")  # noqa: T201
                self.remove()
        if self._lab is None:
            # A name that no other run on this machine has.
            name = f"i{uuid.uuid4().hex[:10]}"
            self._lab = Lab.create(name, controllers=3, hosts=3, daemons=2, tick_s=TICK_S)
        return self._lab, f"t{self._tests}"

    def remove(self) -> None:
        """Take the lab down. Idempotent."""
        if self._lab is not None:
            records.remove(self._lab.layout.lab)
            self._lab = None


@pytest.fixture(scope="session")
def shared_lab() -> Iterator[SharedLab]:
    """The lab of this session, taken down at its end."""
    shared = SharedLab()
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
    with lab.observer() as watching:
        world = World(lab, watching, prefix)
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
