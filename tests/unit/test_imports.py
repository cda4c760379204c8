"""The pure rooms stay pure, seen from outside: a fresh Python imports one and shows what came in.

import-linter reads the source and misses what a re-export brings along; this test does not.
"""

import subprocess
import sys
from pathlib import Path

import pytest

import hamon

ROOT = Path(hamon.__file__).parent

PURE = (
    "hamon.decide",
    "hamon.detector.agentless",
    "hamon.detector.verdict",
    "hamon.detector.views",
    "hamon.errors",
    "hamon.evacuator",
    "hamon.fencing.ladder",
    "hamon.fencing.refutation",
    "hamon.fencing.shots",
    "hamon.fencing.watchdog",
    "hamon.model",
    "hamon.ports",
    "hamon.recovery",
)

FORBIDDEN_TO_PURE = frozenset(
    {
        "asyncio",
        "click",
        "kazoo",
        "libvirt",
        "logging",
        "msgspec",
        "novaclient",
        "prometheus_client",
        "pydantic",
        "random",
        "rich",
        "socket",
        "structlog",
        "subprocess",
        "tenacity",
        "threading",
    }
)
"""What a pure room must not bring in. Not in the list: os and time, which every Python has loaded
before its first line; import-linter sees that no pure room imports them by itself."""

FORBIDDEN_TO_HEARTBEAT = frozenset(
    {"libvirt", "novaclient", "prometheus_client", "pydantic", "rich"}
)
"""What would break the 30 MB of the heartbeat process, or is not installed on its host."""

ALLOWED_BASE = "import collections.abc, dataclasses, datetime, enum, functools, ipaddress, typing"
"""What a pure room may use of the standard library; whatever these load is allowed as well."""


def modules_under(room: str) -> list[str]:
    """Names of a room's modules, the room itself included; empty while nobody has built it."""
    path = ROOT.parent.joinpath(*room.split("."))
    if path.with_suffix(".py").exists():
        return [room]
    return sorted(
        ".".join(file.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
        for file in path.rglob("*.py")
    )


def loaded_after(statements: str) -> frozenset[str]:
    """Run statements in a fresh Python and return the names of all modules it holds then."""
    done = subprocess.run(
        [sys.executable, "-c", f"{statements}\nimport sys\nprint(*sys.modules, sep='\\n')"],
        check=True,
        capture_output=True,
        text=True,
    )
    return frozenset(done.stdout.split())


def imported_by(modules: list[str]) -> frozenset[str]:
    """What a fresh Python holds after importing the modules."""
    return loaded_after("\n".join(f"import {module}" for module in modules))


PURE_MODULES = [module for room in PURE for module in modules_under(room)]


@pytest.mark.parametrize("module", PURE_MODULES)
def test_pure_module__imported_alone__brings_no_outside_world(module: str) -> None:
    """A decision can be replayed anywhere, because nothing it imports can reach outside."""
    brought = imported_by([module]) - loaded_after(ALLOWED_BASE)

    assert frozenset() == brought & FORBIDDEN_TO_PURE


def test_engine__imported_whole__brings_no_adapter() -> None:
    """The simulator runs the same engine, because the engine holds no adapter."""
    adapters = {
        module
        for room in ("agent", "backends", "coordination", "detector", "evacuator", "fencing")
        for module in modules_under(f"hamon.{room}")
        # A package is loaded with its pure module, and is empty.
        if module not in PURE_MODULES and not is_package(module)
    }

    brought = imported_by(modules_under("hamon.engine"))

    assert frozenset() == brought & (adapters | {"kazoo", "libvirt", "novaclient", "tenacity"})


def test_heartbeat__imported_alone__stays_light() -> None:
    """The heartbeat process outlives a compute host that is short of memory."""
    brought = imported_by(["hamon.agent.heartbeat"])

    assert frozenset() == brought & FORBIDDEN_TO_HEARTBEAT


def test_gate__imported_alone__stays_light() -> None:
    """It runs before nova-compute, whatever state libvirt is in."""
    brought = imported_by(["hamon.cli.agent_gate", "hamon.agent.gate"])

    assert frozenset() == brought & FORBIDDEN_TO_HEARTBEAT


@pytest.mark.parametrize(
    "init", sorted(ROOT.rglob("__init__.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_package__opened__has_no_re_export(init: Path) -> None:
    """An import in an __init__.py would bring a whole room along with one pure module of it."""
    assert "import " not in init.read_text()


def is_package(module: str) -> bool:
    """Whether a module is the __init__.py of a folder."""
    return ROOT.parent.joinpath(*module.split("."), "__init__.py").exists()
