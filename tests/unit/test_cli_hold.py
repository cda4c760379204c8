"""``hamon hold``: what holds, and a release of hosts from a storm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hamon.cli.failure import ExitCode
from hamon.cli.invocation import Invocation
from hamon.cli.main import cli
from hamon.model.names import HostName
from hamon.model.view import HostView
from tests.builders import BOOT, a_host, a_lost_host, a_view
from tests.unit.answering_daemon import AnsweringDaemon

WELL_SAID = ("--reason", "the rack is dark", "--for", "30m")


def run(daemon: AnsweringDaemon, *words: str, keys: str | None = None) -> Result:
    """Run ``hamon hold``; ``keys``: what a person at a terminal types, None: nobody is there."""
    invocation = Invocation(is_interactive=keys is not None, is_root=False)
    arguments = ["--socket", str(daemon.path), "hold", *words]
    return CliRunner().invoke(cli, arguments, input=keys, obj=invocation)


def in_rack(host: HostView) -> HostView:
    """A host of the rack."""
    return replace(host, spec=replace(host.spec, labels={"rack": "a1"}))


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[AnsweringDaemon]:
    """A daemon that sees a dark rack with one host that still runs, and a host elsewhere."""
    dark = [in_rack(a_lost_host(HostName(f"dark-{number}"))) for number in range(4)]
    view = a_view(*dark, in_rack(a_host(HostName("bright"))), a_host(HostName("elsewhere")))
    with AnsweringDaemon(tmp_path / "control.sock", view) as daemon:
        yield daemon


def asked(daemon: AnsweringDaemon) -> dict[str, Any]:
    """The boots of the one request that was made."""
    (request,) = daemon.requests
    found: dict[str, Any] = json.loads(request["boots"])
    return found


def test_list__a_storm__says_what_it_is_and_what_ends_it(daemon: AnsweringDaemon) -> None:
    """The same lines as in the status, alone."""
    page = run(daemon, "list").stdout

    assert "HOLD cluster" in page
    assert "hamon hold release" in page


def test_list__as_json__has_holds_and_releases(daemon: AnsweringDaemon) -> None:
    """A script sees what the daemon said."""
    told = json.loads(run(daemon, "list", "-f", "json").stdout)

    assert {"holds", "releases"} == set(told)
    assert ["storm"] == [hold["kind"] for hold in told["holds"]]


def test_release__by_label__is_of_its_lost_hosts_in_the_boots_shown(
    daemon: AnsweringDaemon,
) -> None:
    """A host of the rack that runs is not given up with the others."""
    result = run(daemon, "release", "--label", "rack=a1", *WELL_SAID, keys="y\n")

    assert ExitCode.OK == result.exit_code
    assert "4 hosts are released" in result.stdout
    assert {f"dark-{number}": BOOT for number in range(4)} == asked(daemon)


def test_release__by_name__is_of_those(daemon: AnsweringDaemon) -> None:
    """Names may be given with commas."""
    run(daemon, "release", "--hosts", "dark-0, dark-2", *WELL_SAID, "--yes")

    assert {"dark-0": BOOT, "dark-2": BOOT} == asked(daemon)


def test_release__answered_no__asks_for_nothing(daemon: AnsweringDaemon) -> None:
    """It opens a brake: a person says yes to it."""
    result = run(daemon, "release", "--label", "rack=a1", *WELL_SAID, keys="n\n")

    assert (ExitCode.REFUSED, []) == (result.exit_code, daemon.requests)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--label", "rack=a1", "--hosts", "dark-0", *WELL_SAID), "--hosts or --label"),
        (WELL_SAID, "--hosts or --label"),
        (("--label", "rack", *WELL_SAID), "no label such as"),
        (("--label", "rack=b2", *WELL_SAID), "no host has the label"),
        (("--hosts", "dark-9", *WELL_SAID), "is not enrolled"),
        (("--label", "rack=a1", "--reason", "dark", "--for", "soon"), "such as 30m"),
        (("--label", "rack=a1", "--reason", "dark", "--for", "25h"), "at most 24h"),
        (("--label", "rack=a1", "--reason", "dark", "--for", "0m"), "such as 30m"),
        (("--label", "rack=a1", "--for", "30m"), "--reason"),
    ],
)
def test_release__makes_no_sense__says_why_and_asks_for_nothing(
    words: tuple[str, ...], said: str, daemon: AnsweringDaemon
) -> None:
    """Each mistake has its own words."""
    result = run(daemon, "release", *words, "--yes")

    assert result.exit_code != ExitCode.OK
    assert said in result.output
    assert [] == daemon.requests
