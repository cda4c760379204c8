"""The command line: what it shows, what it asks, how it ends, and what it says when it cannot."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from typing_extensions import override

from hamon import assembly
from hamon.cli import agent, host, incident, main
from hamon.cli.failure import ExitCode
from hamon.cli.invocation import RUN_DIR, SOCKET_NAME, Invocation
from hamon.cli.lazy import LazyGroup
from hamon.cli.main import cli
from hamon.engine.answers import Answers
from hamon.model.guest import NotMovable
from hamon.model.host import HostChecks, HostState
from hamon.model.incident import MigrationStatus
from hamon.model.names import HostName
from hamon.model.view import ClusterView
from hamon.settings.schema import ClusterTable
from tests.builders import (
    BOOT,
    HOST,
    NEXT_BOOT,
    NOW_S,
    SPARE,
    a_host,
    a_lost_host,
    a_migration,
    a_view,
    an_entry,
    an_incident,
)
from tests.unit.answering_daemon import POLICY, AnsweringDaemon, round_over, with_reason

GROUPS: dict[str, LazyGroup] = {
    "": main.cli,
    "host": host.command,
    "incident": incident.command,
    "agent": agent.command,
}


def run(*words: object, keys: str | None = None, is_root: bool = False) -> Result:
    """Run one command line; ``keys``: what a person at a terminal types, None: nobody is there."""
    invocation = Invocation(is_interactive=keys is not None, is_root=is_root)
    return CliRunner().invoke(cli, [str(word) for word in words], input=keys, obj=invocation)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a control socket."""
    return tmp_path / "control.sock"


@pytest.fixture
def troubled() -> ClusterView:
    """Give a cluster with a dead host, one guest that waits, maintenance and a disarm."""
    waiting = a_migration(1, MigrationStatus.WAITING, reason="NoValidHost: host-2: RAM")
    dead = a_lost_host(
        HOST,
        HostState.EVACUATING,
        entries=[an_entry(1), an_entry(2, not_movable=(NotMovable.LOCAL_DISK,))],
    )
    view = a_view(
        dead,
        a_host(SPARE),
        incidents=[an_incident(waiting)],
        maintenance=[SPARE],
        is_armed=False,
    )
    return with_reason(view, HOST, "power_off_and_silent")


@pytest.fixture
def daemon(path: Path, troubled: ClusterView) -> Iterator[AnsweringDaemon]:
    """Give a daemon that sees the troubled cluster."""
    with AnsweringDaemon(path, troubled) as daemon:
        yield daemon


# -- what is shown --------------------------------------------------------------------------------


def answers_of(view: ClusterView) -> Answers:
    """Give the daemon's own answers."""
    return Answers(round_over(view), POLICY, NOW_S)


@pytest.mark.parametrize("words", [("status",), ("host", "list"), ("host", "show", HOST)])
def test_reading_verb__as_json__is_exactly_the_daemons_answer(
    words: tuple[str, ...], daemon: AnsweringDaemon, troubled: ClusterView
) -> None:
    """A script sees what the daemon said, neither more nor less."""
    answers = answers_of(troubled)
    expected = {
        "status": answers.status(),
        "list": answers.hosts(),
        "show": answers.host(HOST),
    }[words[1] if len(words) > 1 else words[0]]

    result = run("--socket", daemon.path, *words, "-f", "json")

    assert (ExitCode.OK, json.loads(json.dumps(expected))) == (
        result.exit_code,
        json.loads(result.stdout),
    )


def test_status__holds_and_waiting_guests__come_before_the_hosts(daemon: AnsweringDaemon) -> None:
    """What keeps guests from running is read first."""
    page = run("--socket", daemon.path, "status").stdout

    in_order = ["DISARMED", "HOLD cluster", "HOLD host-2", "NoValidHost", "EVACUATING", "UP"]
    assert sorted(in_order, key=page.index) == in_order


def test_status__piped__fits_eighty_columns(daemon: AnsweringDaemon) -> None:
    """It can be read on the console of a machine in trouble."""
    lines = run("--socket", daemon.path, "status").stdout.splitlines()

    assert [] == [text for text in lines if len(text) > 80]


def test_host_show__guest_that_cannot_move__says_why(daemon: AnsweringDaemon) -> None:
    """What will be lost with a host is known before it dies."""
    page = run("host", "show", HOST, "--socket", daemon.path).stdout

    assert "no: local_disk" in " ".join(page.split())


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        (None, None),
        (
            HostChecks(boot_id=BOOT, failed={"storage:nfs1": "Input/output error"}),
            "its own check storage:nfs1 failed: Input/output error",
        ),
        (HostChecks(boot_id=BOOT), "its own checks: all passed"),
        (HostChecks(boot_id=NEXT_BOOT, failed={"libvirt": "x"}), "none yet in this boot"),
    ],
)
def test_host_show__checks_of_the_host__are_those_of_this_boot(
    path: Path, checks: HostChecks | None, expected: str | None
) -> None:
    """What a host finds wrong with itself, and not what a former boot did."""
    with AnsweringDaemon(path, a_view(a_host(HOST, checks=checks))):
        page = " ".join(run("host", "show", HOST, "--socket", path).stdout.split())

    assert (expected in page) if expected is not None else ("its own check" not in page)


@pytest.mark.parametrize("is_dead", [True, False])
def test_host_show__host_that_is_dead__does_not_say_that_its_guests_run(
    path: Path, troubled: ClusterView, *, is_dead: bool
) -> None:
    """What its agent said last is not what is so now."""
    view = troubled if is_dead else a_view(a_host(HOST, entries=[an_entry(1)]))

    with AnsweringDaemon(path, view):
        page = run("host", "show", HOST, "--socket", path).stdout

    heads = next(text for text in page.splitlines() if "GUEST" in text and "UUID" in text)
    assert is_dead is ("LAST SEEN HERE" in heads)
    assert " HERE" in heads


def test_host_show__nova_does_not_answer__lists_who_was_there_when_it_last_did(
    path: Path, troubled: ClusterView
) -> None:
    """Old news are worth something to the person on call, as long as they are not told as new."""

    class WithoutNova(AnsweringDaemon):
        @override
        async def _answer(self, verb: str, arguments: dict[str, Any], who: str) -> dict[str, Any]:
            answer = await super()._answer(verb, arguments, who)
            return answer | {"guests_unknown": "Nova could not be asked: HTTP 503"}

    with WithoutNova(path, troubled):
        page = run("host", "show", HOST, "--socket", path).stdout

    assert page.index("Nova could not be asked: HTTP 503") < page.index("Guests when Nova last")
    assert "guest-1" in page


def test_explain__held_evacuation__says_it_in_words_with_advice(daemon: AnsweringDaemon) -> None:
    """Nobody needs to know a code to understand what stands in the way."""
    page = " ".join(run("explain", HOST, "--socket", daemon.path).stdout.split())

    assert "its evacuation is held (disarmed)" in page
    assert "`hamon arm` ends it" in page


def test_page__control_characters_in_a_name__are_shown_not_obeyed(path: Path) -> None:
    """A compute host cannot write to the terminal of whoever looks at it."""
    view = with_reason(a_view(a_host(HOST, HostState.SUSPECT)), HOST, "\x1b[2J[red]gone")
    with AnsweringDaemon(path, view):
        page = run("host", "list", "--socket", path).stdout

    assert "\x1b" not in page
    assert "[red]gone" in "".join(page.split())


# -- how the daemon is found, and what is said when it is not ------------------------------------


def test_any_verb__no_daemon__says_which_socket_and_what_to_do(path: Path) -> None:
    """A daemon that is not running is not a traceback."""
    result = run("--socket", path, "status")

    assert ExitCode.REFUSED == result.exit_code
    assert str(path) in result.stderr
    assert "systemctl start hamon" in result.stderr


def test_any_verb__socket_left_behind__says_nobody_serves_it(path: Path) -> None:
    """A socket that a killed daemon left is told from one that never was."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))

    result = run("--socket", path, "status")

    assert ExitCode.REFUSED == result.exit_code
    assert "nobody serves" in result.stderr


@pytest.mark.parametrize("reply", [b"", b"half an ans", b"rubbish\n", b"[1]\n"])
def test_request__answer_lost__is_an_unknown_outcome(reply: bytes, path: Path) -> None:
    """What was asked for may have happened: a script must not repeat it blindly."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        result = run("--socket", path, "disarm")
        thread.join()

    assert ExitCode.UNKNOWN == result.exit_code
    assert "hamon status" in result.stderr


def test_request__no_leader_answers__is_an_unknown_outcome(path: Path) -> None:
    """A request that nobody took in time may still have been taken."""
    with AnsweringDaemon(path, unanswered=True):
        result = run("--socket", path, "arm")

    assert ExitCode.UNKNOWN == result.exit_code


def test_socket__not_given__is_found_through_the_configuration(
    tmp_path: Path, troubled: ClusterView
) -> None:
    """The one key that matters is read, even where the rest of the file is wrong."""
    config = tmp_path / "hamon.toml"
    config.write_text('[cluster]\nrun_dir = "run"\nno_such_key = 1\n')
    (tmp_path / "run").mkdir()

    with AnsweringDaemon(tmp_path / "run" / SOCKET_NAME, troubled):
        assert ExitCode.OK == run("status", "--config", config).exit_code


def test_socket__configuration_unreadable__names_the_option_that_helps(tmp_path: Path) -> None:
    """Whoever may not read the configuration can still name the socket."""
    result = run("status", "--config", tmp_path / "none.toml")

    assert ExitCode.CONFIG == result.exit_code
    assert "--socket" in result.stderr


def test_defaults__of_command_line__are_those_of_the_daemon() -> None:
    """The command line looks where the daemon serves."""
    assert ClusterTable.model_fields["run_dir"].default == RUN_DIR
    assert assembly.SOCKET_NAME == SOCKET_NAME


def test_reading_verb__unknown_host__is_refused_with_the_daemons_words(
    daemon: AnsweringDaemon,
) -> None:
    """A typing error is answered by what to do about it."""
    result = run("--socket", daemon.path, "explain", "host-9")

    assert ExitCode.REFUSED == result.exit_code
    assert "did you mean host-1, host-2?" in result.stderr
    assert "`hamon host list`" in result.stderr


# -- control --------------------------------------------------------------------------------------


def test_maintenance_on__without_reason__is_wrong_usage(daemon: AnsweringDaemon) -> None:
    """Whoever comes after must see why a host is left alone."""
    result = run("--socket", daemon.path, "maintenance", "on", HOST)

    assert (ExitCode.USAGE, []) == (result.exit_code, daemon.requests)


@pytest.mark.parametrize("until", ["soon", "2001-01-01T00:00"])
def test_maintenance_on__end_that_cannot_be__is_wrong_usage(
    until: str, daemon: AnsweringDaemon
) -> None:
    """An end that is past or no time at all is a mistake."""
    words = ("maintenance", "on", HOST, "--reason", "disks", "--until", until)

    result = run("--socket", daemon.path, *words)

    assert (ExitCode.USAGE, []) == (result.exit_code, daemon.requests)


def test_maintenance__given_all__is_sent_as_said(daemon: AnsweringDaemon) -> None:
    """The leader gets host, reason and the end in UTC."""
    words = ("maintenance", "on", HOST, "--reason", "disks", "--until", "2999-01-01T00:00+01:00")

    result = run("--socket", daemon.path, *words)

    expected = {
        "kind": "maintenance_on",
        "host": HOST,
        "reason": "disks",
        "until": "2998-12-31T23:00:00+00:00",
    }
    assert (ExitCode.OK, [expected]) == (result.exit_code, daemon.requests)
    assert "in maintenance" in result.stdout


def test_disarm__accepted__prints_the_leaders_answer(daemon: AnsweringDaemon) -> None:
    """What was done is said by who did it."""
    result = run("--socket", daemon.path, "disarm", "--reason", "power feeds")

    assert (ExitCode.OK, "disarmed: nothing new is started\n") == (result.exit_code, result.stdout)


# -- confirm-down ---------------------------------------------------------------------------------


def confirm_down(view: ClusterView, path: Path, keys: str | None, *more: str) -> tuple[Result, Any]:
    """Give one's word, and return what the leader got."""
    with AnsweringDaemon(path, view) as daemon:
        words = ("confirm-down", HOST, "--reason", "plugs pulled", *more)
        result = run("--socket", path, *words, keys=keys)
        return result, daemon.requests


def test_confirm_down__exact_name_typed__binds_the_boot_shown(path: Path) -> None:
    """A word is good for the life of the host that was looked at, and for no other."""
    result, requests = confirm_down(a_view(a_lost_host(readings=())), path, f"{HOST}\n")

    assert ExitCode.OK == result.exit_code, result.output
    assert [BOOT] == [request["boot_id"] for request in requests]
    assert BOOT in result.stdout


def test_confirm_down__host_shut_out__binds_the_boot_that_was_shut_out(path: Path) -> None:
    """The word ends the life that was convicted, not one that registered since."""
    host = a_lost_host(
        HOST, HostState.FENCE_FAILED, boot_id=NEXT_BOOT, shut_out_boot=BOOT, readings=()
    )

    result, requests = confirm_down(a_view(host, incidents=[an_incident()]), path, f"{HOST}\n")

    assert ExitCode.OK == result.exit_code, result.output
    assert [BOOT] == [request["boot_id"] for request in requests]


@pytest.mark.parametrize("typed", ["y", "host-11", "", "HOST-1"])
def test_confirm_down__anything_else_typed__sends_nothing(typed: str, path: Path) -> None:
    """A word is given on purpose or not at all."""
    result, requests = confirm_down(a_view(a_lost_host(readings=())), path, f"{typed}\n")

    assert (ExitCode.REFUSED, []) == (result.exit_code, requests)


def test_confirm_down__nobody_to_ask__is_wrong_usage_with_advice(path: Path) -> None:
    """A script says --yes, so that nothing waits for an answer that cannot come."""
    result, requests = confirm_down(a_view(a_lost_host(readings=())), path, None)

    assert (ExitCode.USAGE, []) == (result.exit_code, requests)
    assert "--yes" in result.stderr


def test_confirm_down__host_alive__is_refused_even_with_yes(path: Path) -> None:
    """--yes skips the question, never a safety rule."""
    result, _ = confirm_down(a_view(a_host()), path, None, "--yes")

    assert ExitCode.REFUSED == result.exit_code
    assert "cannot be confirmed down" in result.stderr


# -- without a daemon -----------------------------------------------------------------------------


def a_configuration(folder: Path, *, address: str = "192.0.2.11") -> Path:
    """Write a small configuration."""
    secret = folder / "secret"
    secret.write_text("a password\n")
    secret.chmod(0o600)
    (folder / "hosts.d").mkdir()
    (folder / "hosts.d" / "all.toml").write_text(
        '[host."compute-1"]\nzookeeper_password_file = "../secret"\naccept_bmc_only = true\n'
        f'planes.management.address = "{address}"\n'
        '[host."compute-1".fence.bmc]\nkind = "ipmi"\naddress = "203.0.113.1"\n'
        'username = "admin"\npassword_file = "../secret"\n'
    )
    config = folder / "hamon.toml"
    config.write_text(
        '[cluster]\nname = "lab"\ncontroller = "controller-1"\nrun_dir = "run"\n'
        '[zookeeper]\nservers = ["192.0.2.1:2181"]\npassword_file = "secret"\n'
    )
    return config


def test_doctor__everything_right__says_what_is_configured(tmp_path: Path) -> None:
    """What the daemon would use is seen without starting it."""
    result = run("doctor", "--config-only", "--config", a_configuration(tmp_path))

    assert ExitCode.OK == result.exit_code, result.output
    assert "192.0.2.1:2181" in result.stdout
    assert "mode: shadow" in result.stdout


def test_doctor__host_that_carries_hamon__is_told_whether_it_may_be_fenced(tmp_path: Path) -> None:
    """Who is protected, and who is in no failure domain, is known before it matters."""
    config = a_configuration(tmp_path)
    hosts = tmp_path / "hosts.d" / "all.toml"
    hosts.write_text(hosts.read_text().replace("\nplanes", '\ncarries = ["zookeeper"]\nplanes'))
    words = ("doctor", "--config-only", "--config", config)

    never = run(*words).stdout
    config.write_text(
        config.read_text() + '[holds]\nfence_controllers = true\ndomain_labels = ["rack"]\n'
    )
    perhaps = run(*words).stdout

    assert "compute-1 carries zookeeper: it is never fenced" in never
    assert "more than half of 1 ZooKeeper servers are left" in perhaps
    assert "in no failure domain: compute-1" in perhaps


def test_doctor__several_faults__names_each_with_file_and_key(tmp_path: Path) -> None:
    """All faults are corrected in one go."""
    config = a_configuration(tmp_path, address="169.254.0.1")
    config.write_text(config.read_text() + "sync_limit = 0\n")

    result = run("doctor", "--config-only", "--config", config, "-f", "json")

    faults = json.loads(result.stdout)["faults"]
    assert ExitCode.CONFIG == result.exit_code
    assert any("sync_limit" in fault["key"] and fault["file"] for fault in faults), faults


@pytest.mark.parametrize("verb", ["daemon", "bootstrap"])
def test_verb_with_settings__configuration_wrong__ends_as_a_configuration_error(
    verb: str, tmp_path: Path
) -> None:
    """The service manager does not restart what cannot start."""
    result = run(verb, "--config", tmp_path / "none.toml")

    assert ExitCode.CONFIG == result.exit_code
    assert "none.toml" in result.stderr


def test_host_remove__still_configured__is_refused_with_advice(tmp_path: Path) -> None:
    """A host that would be enrolled again at once is not forgotten."""
    config = a_configuration(tmp_path)

    result = run("host", "remove", "compute-1", "--yes", "--config", config)

    assert ExitCode.REFUSED == result.exit_code
    assert "hosts.d" in result.stderr


def test_host_remove__other_name_typed__removes_nothing(tmp_path: Path) -> None:
    """ZooKeeper is not even asked before the exact name was typed."""
    config = a_configuration(tmp_path)

    result = run("host", "remove", "compute-9", "--config", config, keys="compute-8\n")

    assert ExitCode.REFUSED == result.exit_code
    assert "nothing was done" in result.stderr


# -- on a compute host ----------------------------------------------------------------------------

WITHOUT_EXTRAS = """
import sys
for name in ("libvirt", "prometheus_client", "pydantic", "rich", "tenacity"):
    sys.modules[name] = None
from hamon.cli.main import main
main()
"""


def run_without_extras(*words: object) -> subprocess.CompletedProcess[str]:
    """Run a command line in a Python that has only what every hamon process may load."""
    command = [sys.executable, "-c", WITHOUT_EXTRAS, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def agent_config(tmp_path: Path) -> Path:
    """Give an agent's configuration with folders of its own."""
    config = tmp_path / "agent.toml"
    config.write_text(
        'host = "compute-1"\nproduct_uuid = "00000000-0000-0000-0000-000000000001"\n'
        '[zookeeper]\nservers = ["192.0.2.1:2181"]\n'
        f'controllers_digest = "controllers:{"A" * 27}="\n'
        '[planes]\nmanagement = "192.0.2.11"\n'
        f'[libvirt]\nhooks_dir = "{tmp_path}/hooks"\n'
        f'[paths]\nrun_dir = "{tmp_path}/run"\nstate_dir = "{tmp_path}/state"\n'
    )
    (tmp_path / "run").mkdir()
    return config


def test_agent_leave__on_a_compute_host__announces_and_takes_back(agent_config: Path) -> None:
    """A host says that it goes without any package of a controller."""
    mark = agent_config.parent / "run" / "leaving"

    gone = run_without_extras("agent", "leave", "reboot", "--config", agent_config)
    said = mark.read_text()
    back = run_without_extras("agent", "leave", "cancel", "--config", agent_config)

    assert (0, "reboot", 0, False) == (gone.returncode, said, back.returncode, mark.exists())


@pytest.fixture
def nova_config(agent_config: Path) -> Path:
    """Give the configuration of a nova cloud's host whose ZooKeeper is gone."""
    folder = agent_config.parent
    password = folder / "password"
    password.write_text("secret")
    password.chmod(0o600)
    text = agent_config.read_text().replace("192.0.2.1:2181", "127.0.0.1:1")
    text = text.replace("[zookeeper]", f'[zookeeper]\npassword_file = "{password}"', 1)
    agent_config.write_text(f'backend = "nova"\n{text}')
    return agent_config


def test_agent_gate__without_zookeeper__is_closed_and_says_so(nova_config: Path) -> None:
    """Without any package of a controller, and without libvirt."""
    waited = run_without_extras("agent", "gate", "--timeout", 0, "--config", nova_config)

    assert ExitCode.REFUSED == waited.returncode, waited.stderr
    assert "waiting: ZooKeeper does not answer" in waited.stdout
    assert "gate_waits" in waited.stderr
    assert "still closed" in waited.stderr


def test_agent_gate__overridden_by_root__opens_without_zookeeper(nova_config: Path) -> None:
    """Who, when and why is written down, and in the log."""
    said = run(
        *("agent", "gate", "--override", "--reason", "drill 7", "--config", nova_config),
        is_root=True,
    )
    waited = run_without_extras("agent", "gate", "--config", nova_config)

    assert (ExitCode.OK, ExitCode.OK) == (said.exit_code, waited.returncode)
    assert "drill 7" in (nova_config.parent / "run" / "gate-override.json").read_text()
    assert "drill 7" in said.stderr
    assert "drill 7" in waited.stderr


def test_agent_gate__overridden_by_somebody_else__is_refused(nova_config: Path) -> None:
    """It is root's host."""
    said = run(
        *("agent", "gate", "--override", "--reason", "drill 7", "--config", nova_config),
        is_root=False,
    )

    assert ExitCode.REFUSED == said.exit_code
    assert "root" in said.stderr
    assert not (nova_config.parent / "run" / "gate-override.json").exists()


@pytest.mark.parametrize("words", [("--override",), ("--override", "--reason", " ")])
def test_agent_gate__overridden_without_a_reason__is_wrong_usage(
    nova_config: Path, words: tuple[str, ...]
) -> None:
    """Whoever reads the log next year wants to know why."""
    assert ExitCode.USAGE == run("agent", "gate", *words, "--config", nova_config).exit_code


def test_agent_gate__no_nova_cloud__is_refused_with_the_key(agent_config: Path) -> None:
    """A gate that nothing ever opens would be waited at for ever."""
    said = run("agent", "gate", "--config", agent_config)

    assert ExitCode.CONFIG == said.exit_code
    assert "backend" in said.stderr


def test_agent_forget__on_a_compute_host__leaves_word_for_the_guests_process(
    agent_config: Path,
) -> None:
    """The process that knows libvirt decides; the command only carries an operator's word."""
    uuid = "11111111-1111-4111-8111-111111111111"

    done = run_without_extras("agent", "forget", uuid.upper(), "--config", agent_config)
    wrong = run_without_extras("agent", "forget", "../web", "--config", agent_config)

    assert (0, True) == (
        done.returncode,
        (agent_config.parent / "run" / "forget" / uuid).exists(),
    )
    assert ExitCode.USAGE == wrong.returncode
    assert "not a guest's UUID" in wrong.stderr


def test_agent_install_hook__twice__says_so_the_second_time(agent_config: Path) -> None:
    """The gate is installed once; doing it again changes nothing."""
    first = run_without_extras("agent", "install-hook", "--config", agent_config)
    again = run_without_extras("agent", "install-hook", "--config", agent_config)

    assert (0, 0) == (first.returncode, again.returncode), first.stderr + again.stderr
    assert "restart" in first.stdout
    assert "as it should be" in again.stdout


def test_agent_uninstall_hook__sure__leaves_every_guest_startable(agent_config: Path) -> None:
    """Without it a host that left hamon's care would refuse its guests after the next boot."""
    config = ("--config", agent_config)
    run_without_extras("agent", "install-hook", *config)

    unsure = run_without_extras("agent", "uninstall-hook", *config)
    first = run_without_extras("agent", "uninstall-hook", "--yes", *config)
    again = run_without_extras("agent", "uninstall-hook", "--yes", *config)

    assert ExitCode.USAGE == unsure.returncode
    assert (0, 0) == (first.returncode, again.returncode), first.stderr + again.stderr
    assert "every guest starts" in first.stdout
    assert "no hook" in again.stdout


def test_agent_heartbeat__started_by_the_command__becomes_the_lean_process(tmp_path: Path) -> None:
    """The process that runs on is the heartbeat's own, which says so in its own words."""
    result = run_without_extras("agent", "heartbeat", "--config", tmp_path / "none.toml")

    assert ExitCode.CONFIG == result.returncode
    assert "agent_refused_to_start" in result.stderr


def test_controllers_verb__on_a_compute_host__says_what_is_missing(
    daemon: AnsweringDaemon,
) -> None:
    """A package that is not installed is not a traceback."""
    result = run_without_extras("status", "--socket", daemon.path)

    assert ExitCode.REFUSED == result.returncode
    assert "rich" in result.stderr
    assert "Traceback" not in result.stderr


# -- the groups -----------------------------------------------------------------------------------


def test_help__of_the_whole__loads_no_command() -> None:
    """`hamon --help` answers at once, on every machine."""
    code = (
        "import sys\nfrom hamon.cli.main import cli\ncli(['--help'], standalone_mode=False)\n"
        "print(*[m for m in sys.modules if m in {'hamon.cli.status', 'rich', 'pydantic'}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "" == done.stdout.splitlines()[-1]


def all_verbs() -> list[tuple[str, str]]:
    """Name every verb with its group."""
    return [
        (name, verb)
        for name, group in GROUPS.items()
        for verb in group.list_commands(click.Context(group))
    ]


@pytest.mark.parametrize(("name", "verb"), all_verbs())
def test_verb__summary_in_the_group__is_its_own_first_line(name: str, verb: str) -> None:
    """The summary that is shown without loading a command is the one it gives itself."""
    group = GROUPS[name]
    command = group.get_command(click.Context(group), verb)

    assert command is not None
    assert command.help is not None
    assert group.summary_of(verb) == command.help.splitlines()[0]


def test_environment__socket_and_configuration__are_read(
    daemon: AnsweringDaemon, tmp_path: Path
) -> None:
    """A shell can be set up once for a lab."""
    environment = {"HAMON_SOCKET": str(daemon.path), "HAMON_CONFIG": str(tmp_path / "x.toml")}
    code = "from hamon.cli.main import main\nmain()"

    done = subprocess.run(
        [sys.executable, "-c", code, "host", "list"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )

    assert HostName(HOST) in done.stdout


def test_host_list__longest_name_at_eighty_columns__is_not_cut(path: Path) -> None:
    """A name is folded where room is short, but all of it is there."""
    longest = HostName("n" * 63)
    with AnsweringDaemon(path, a_view(a_host(longest, HostState.FENCE_FAILED))):
        page = run("host", "list", "--socket", path).stdout

    assert 63 == page.count("n")
    assert "FENCE_FAILED" in page
