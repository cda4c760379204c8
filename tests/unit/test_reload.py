"""SIGHUP: the configuration is checked whole, or the old settings stay."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from hamon.agent.config import AgentConfig, load_config
from hamon.agent.service import Reload, run_until_stopped, serve
from hamon.errors import ConfigError
from hamon.hang_up import HangUp
from hamon.settings.load import load
from hamon.settings.reread import reread

MAIN = """
[cluster]
name = "lab"
controller = "controller-1"
[zookeeper]
servers = ["192.0.2.1:2181"]
password_file = "secret"
[holds]
storm_hosts_max = 3
"""

HOSTS = """
[host.compute-1]
zookeeper_password_file = "../secret"
planes.management.address = "192.0.2.11"
accept_bmc_only = true
fence.bmc = { kind = "ipmi", address = "203.0.113.1", username = "u", password_file = "../secret" }
"""

AGENT = """
host = "compute-1"
[zookeeper]
servers = ["192.0.2.1:2181"]
controllers_digest = "controllers:AAAAAAAAAAAAAAAAAAAAAAAAAAA="
[planes]
management = "192.0.2.11"
"""


class Log:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.told = asyncio.Event()

    def info(self, event: str, **_facts: object) -> None:
        """Note it."""
        self.events.append(event)
        self.told.set()

    warning = error = info


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    """Undo what a reload does to the log and the signals of the whole process."""
    before, handler = structlog.get_config(), signal.getsignal(signal.SIGHUP)
    yield
    structlog.configure(**before)
    signal.signal(signal.SIGHUP, handler)


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """Write a controller's configuration."""
    (tmp_path / "hosts.d").mkdir()
    (tmp_path / "hosts.d/hosts.toml").write_text(HOSTS)
    secret = tmp_path / "secret"
    secret.write_text("correct horse\n")
    secret.chmod(0o400)
    path = tmp_path / "hamon.toml"
    path.write_text(MAIN)
    return path


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    """Write an agent's configuration."""
    path = tmp_path / "agent.toml"
    path.write_text(AGENT)
    return path


# -- the daemon's ---------------------------------------------------------------------------------


def test_reread__changed__returns_the_new_settings(main: Path) -> None:
    """What the operator wrote counts, without a restart of the process."""
    present = load(main)
    main.write_text(MAIN.replace("= 3", "= 4"))

    found = reread(present)

    assert found is not None
    assert (present.policy.holds.storm_hosts_max, found.policy.holds.storm_hosts_max) == (3, 4)


def test_reread__unchanged__changes_nothing(main: Path) -> None:
    """Nobody leaves office for it."""
    with capture_logs() as lines:
        assert reread(load(main)) is None

    assert [line["event"] for line in lines] == ["settings_unchanged"]


def test_reread__with_faults__tells_each_and_keeps_the_old(main: Path) -> None:
    """One wrong key does not take half of the rest with it."""
    present = load(main)
    main.write_text(MAIN.replace("= 3", "= true") + "storm_windw_s = 3\n")

    with capture_logs() as lines:
        assert reread(present) is None

    assert {line["event"] for line in lines} == {"settings_refused"}
    assert {line["key"] for line in lines} == {"holds.storm_hosts_max", "holds.storm_windw_s"}


def test_reread__file_gone__keeps_the_old(main: Path) -> None:
    """Also when a deployment tool has it away for a moment."""
    present = load(main)
    main.unlink()

    with capture_logs() as lines:
        assert reread(present) is None

    assert [line["event"] for line in lines] == ["settings_refused"]


# -- the agents' ----------------------------------------------------------------------------------


Change = Callable[[], object]

REFUSED_PORT = 666
WITHIN_S = 10.0


def with_port(path: Path, port: int) -> Change:
    """Return the change of the port."""
    return lambda: path.write_text(f"{AGENT}[echo]\nport = {port}\n")


def broken(path: Path) -> Change:
    """Return the change that nobody can read."""
    return lambda: path.write_text("host = ")


def runs(config: Path, *changes: Change) -> tuple[list[int], list[str]]:
    """Run a process, and send it SIGHUP after each change; SIGTERM ends it.

    Returns:
        The port it went by each time, and what it told.
    """
    ports: list[int] = []
    log = Log()
    waiting = list(changes)
    reload = Reload(load_config(config), log)

    async def act() -> None:
        while waiting:
            waiting.pop(0)()
            log.told = asyncio.Event()
            os.kill(os.getpid(), signal.SIGHUP)
            async with asyncio.timeout(WITHIN_S):
                await log.told.wait()
            if log.events[-1] == "settings_changed":
                # Ended with the settings it had.
                await asyncio.Event().wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    async def run(present: AgentConfig) -> None:
        if present.echo_port == REFUSED_PORT:
            raise ConfigError(str(present.path), "echo.port", "only found when it is used")
        ports.append(present.echo_port)
        await run_until_stopped(reload, act())

    serve(reload, run)
    return ports, log.events


def test_agent__hung_up__goes_on_with_what_it_reads(agent: Path) -> None:
    """In the same process, again and again."""
    ports, _ = runs(agent, with_port(agent, 7001), with_port(agent, 7002))

    assert ports == [7420, 7001, 7002]


def test_agent__hung_up_with_rubbish__keeps_the_old_and_takes_the_next(agent: Path) -> None:
    """And says what was wrong."""
    ports, told = runs(agent, broken(agent), with_port(agent, 7001))

    assert (ports, told) == ([7420, 7001], ["settings_refused", "settings_changed"])


def test_agent__hung_up_without_a_change__stays_as_it_is(agent: Path) -> None:
    """Not even its session is interrupted."""
    ports, told = runs(agent, lambda: None)

    assert (ports, told) == ([7420], ["settings_unchanged"])


def test_agent__hung_up_again_while_it_ends_its_work__the_last_word_counts(agent: Path) -> None:
    """Back to what it had, before it had taken up what came between."""
    log = Log()
    reload = Reload(load_config(agent), log)
    with_port(agent, 7001)()
    assert reload()
    with_port(agent, 7420)()

    assert reload()

    following = reload.take()
    assert following is not None
    assert (following.echo_port, log.events) == (7420, ["settings_changed"] * 2)


def test_agent__told_to_end_while_it_reloads__ends(agent: Path) -> None:
    """The service manager would kill it otherwise."""
    reload = Reload(load_config(agent), Log())
    with_port(agent, 7001)()
    assert reload()

    reload.end()

    assert reload.take() is None


def test_agent__new_settings_turn_out_wrong_when_used__goes_back(agent: Path) -> None:
    """A host whose agent stays away would be taken for dead."""
    ports, told = runs(agent, with_port(agent, REFUSED_PORT))

    assert ports == [7420, 7420]
    assert told == ["settings_changed", "settings_refused"]


def test_agent__first_settings_turn_out_wrong__does_not_start(agent: Path) -> None:
    """There is nothing to go back to."""
    with_port(agent, REFUSED_PORT)()

    with pytest.raises(ConfigError):
        runs(agent)


def test_hang_up__between_two_loops__is_carried_out_by_the_next() -> None:
    """It neither ends the process nor is lost."""
    hang_up = HangUp()
    told: list[str] = []

    async def follow(name: str) -> None:
        hang_up.follow(lambda: told.append(name))
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(follow("first"))
    os.kill(os.getpid(), signal.SIGHUP)
    assert told == []
    asyncio.run(follow("second"))

    assert told == ["second"]
