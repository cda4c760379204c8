"""What the command line says of a host without an agent."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hamon.cli.failure import ExitCode
from hamon.cli.invocation import Invocation
from hamon.cli.main import cli
from hamon.cli.status import HOSTS_MAX
from hamon.model.cloud import ComputeService
from hamon.model.host import HostState
from hamon.model.names import HostName
from hamon.model.view import ClusterView
from tests.agentless_builders import CELL_DOWN, DOWN, FORCED, UP, an_agentless_host, world
from tests.builders import HOST, a_host
from tests.unit.answering_daemon import AnsweringDaemon

Shown = Callable[..., tuple[Result, str]]


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    """Give a runner of commands: the result, and its output with single spaces."""

    def run(view: ClusterView, *words: str, keys: str | None = None) -> tuple[Result, str]:
        path = tmp_path / "control.sock"
        with AnsweringDaemon(path, view):
            invocation = Invocation(is_interactive=keys is not None)
            result = CliRunner().invoke(
                cli, ["--socket", str(path), *words], input=keys, obj=invocation
            )
        return result, " ".join(result.output.split())

    return run


@pytest.mark.parametrize(
    ("service", "said"),
    [
        (UP, "no agent, nova-compute up"),
        (DOWN, "no agent, nova-compute down"),
        (FORCED, "no agent, nova-compute forced down"),
        (CELL_DOWN, "no agent, nova-compute unknown: its cell is down"),
    ],
)
def test_host_list__without_an_agent__says_novas_word(
    shown: Shown, service: ComputeService, said: str
) -> None:
    """UP alone would claim more than anybody knows."""
    _, page = shown(world(an_agentless_host(), service), "host", "list")

    assert said in page
    assert 1 == page.count("no agent")


@pytest.mark.parametrize("verb", [("host", "show", HOST), ("explain", HOST)])
def test_explain__without_an_agent__says_what_nobody_can_look_for(
    shown: Shown, verb: tuple[str, ...]
) -> None:
    """What hamon cannot do for such a host is said where one asks about it, and what one can."""
    _, page = shown(world(an_agentless_host()), *verb)

    for words in (
        "no agent; by Nova's word: nova-compute down",
        "stale copies of guests cannot be looked for on it",
        "never fenced by itself",
        "`hamon evacuate-host` (its power must read Off, or can be cut)",
    ):
        assert words in page
    assert "session" not in page
    assert "boot" not in page


@pytest.mark.parametrize(("service", "is_shown"), [(UP, False), (DOWN, True)])
def test_status__of_many_hosts__leaves_out_only_what_nova_calls_up(
    shown: Shown, service: ComputeService, *, is_shown: bool
) -> None:
    """A host that is down by Nova's word is not simply up."""
    view = world(an_agentless_host(), service)
    many = {name: a_host(name) for name in (HostName(f"well-{n}") for n in range(HOSTS_MAX))}

    _, page = shown(replace(view, hosts={**view.hosts, **many}), "status")

    assert is_shown is (f"UP {HOST}" in page)


def test_confirm_down__without_an_agent__asks_for_no_boot(shown: Shown) -> None:
    """There is none that the word could be bound to."""
    words = ("confirm-down", HOST, "--reason", "plugs pulled")

    result, page = shown(world(an_agentless_host(HostState.UP)), *words, keys=f"{HOST}\n")

    assert ExitCode.OK == result.exit_code, page
    assert "get any by itself, as of now." in page
