"""``hamon fence``: devices by this controller's checks, and the hand on the power button."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hamon.cli.failure import ExitCode
from hamon.cli.invocation import Invocation
from hamon.cli.main import cli
from hamon.model.view import DeviceCheck
from tests.builders import BOOT, HOST, NOW_S, SPARE, a_host, a_lost_host, a_view
from tests.unit.answering_daemon import AnsweringDaemon


def run(daemon: AnsweringDaemon, *words: str, keys: str | None = None) -> Result:
    """Run ``hamon fence``; ``keys``: what a person at a terminal types, None: nobody is there."""
    invocation = Invocation(is_interactive=keys is not None, is_root=False)
    arguments = ["--socket", str(daemon.path), "fence", *words]
    return CliRunner().invoke(cli, arguments, input=keys, obj=invocation)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[AnsweringDaemon]:
    """A daemon with one device that broke an hour ago, and one that was never asked."""
    check = DeviceCheck(
        checked_s=NOW_S - 10.0, good_s=NOW_S - 3600.0, why="login refused", power="unknown"
    )
    broken = replace(a_lost_host(readings=()), device_checks={"bmc": check})
    with AnsweringDaemon(tmp_path / "control.sock", a_view(broken, a_host(SPARE))) as daemon:
        yield daemon


def asked(daemon: AnsweringDaemon) -> dict[str, Any]:
    """The one request that was made."""
    (request,) = daemon.requests
    return request


def test_status__of_all__says_what_is_wrong_and_when_it_last_worked(
    daemon: AnsweringDaemon,
) -> None:
    """What is broken is seen without anything being asked."""
    page = run(daemon, "status", "--all").stdout

    assert "login refused" in page
    assert "60 min ago" in page
    assert "not asked yet" in page


@pytest.mark.parametrize("verb", ["status", "check"])
@pytest.mark.parametrize("words", [(), (HOST, "--all")])
def test_reading_verb__neither_host_nor_all__is_wrong_usage(
    verb: str, words: tuple[str, ...], daemon: AnsweringDaemon
) -> None:
    """A typing error does not ask a thousand devices."""
    assert ExitCode.USAGE == run(daemon, verb, *words).exit_code


def test_off__name_typed__is_asked_for_with_the_boot_that_was_shown(
    daemon: AnsweringDaemon,
) -> None:
    """What was shown binds."""
    result = run(daemon, "off", HOST, "--reason", "smoke", keys=f"{HOST}\n")

    assert ExitCode.OK == result.exit_code
    assert (BOOT, "smoke") == (asked(daemon)["boot_id"], asked(daemon)["reason"])


def test_off__another_name_typed__does_nothing(daemon: AnsweringDaemon) -> None:
    """The name is typed by whoever means it."""
    result = run(daemon, "off", HOST, "--reason", "smoke", keys=f"{SPARE}\n")

    assert (ExitCode.REFUSED, []) == (result.exit_code, daemon.requests)


def test_off__host_that_lives__is_refused_with_what_passes_it(daemon: AnsweringDaemon) -> None:
    """The leader says why, and what to do."""
    result = run(daemon, "off", SPARE, "--reason", "smoke", "--yes")

    assert ExitCode.REFUSED == result.exit_code
    assert "--even-alive" in result.output


def test_on__answered_yes__is_asked_for(daemon: AnsweringDaemon) -> None:
    """One question is enough: it harms nobody."""
    result = run(daemon, "on", HOST, "--reason", "repaired", keys="y\n")

    assert ExitCode.OK == result.exit_code
    assert "ordered to switch on by bmc" in result.output
