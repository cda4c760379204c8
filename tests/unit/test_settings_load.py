"""A wrong configuration is refused at start, with key, value and sum; all faults at once."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from hamon.detector.knocking import KnockingPace
from hamon.errors import ConfigError
from hamon.fencing.fence_agent import FORBIDDEN_OPTIONS
from hamon.model.policy import LeavingPolicy
from hamon.settings.arithmetic import KNOCK_S
from hamon.settings.devices import REFUSED_OPTIONS
from hamon.settings.load import check, load
from hamon.settings.values import KdumpSettings, digest_of

MAIN = """
[cluster]
name = "lab"
controller = "controller-1"
[zookeeper]
servers = ["192.0.2.1:2181"]
password_file = "secret"
"""

HOSTS = """
[defaults]
zookeeper_password_file = "../secret"
accept_bmc_only = true
[defaults.fence.bmc]
kind = "ipmi"
username = "admin"
password_file = "../secret"
[host."compute-{1..2}"]
planes.management.address = "192.0.2.{n+10}"
fence.bmc.address = "203.0.113.{n}"
"""

NFS1 = '{ name = "nfs1", path = "/srv/beats" }'
ELSEWHERE = """
[host.x]
planes.management.address = "192.0.2.99"
fence.bmc.address = "203.0.113.9"
"""
"""A host that collides with none of the above; lines added to it are its own."""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Give a writer of configurations: extra lines, or other hosts files by name."""

    def writer(extra: str = "", hosts: Mapping[str, str] | None = None, main: str = MAIN) -> Path:
        (tmp_path / "hosts.d").mkdir(exist_ok=True)
        for name, text in (hosts or {"hosts.toml": HOSTS}).items():
            (tmp_path / "hosts.d" / name).write_text(text)
        secret = tmp_path / "secret"
        if not secret.exists():
            secret.write_text("correct horse\n")
            secret.chmod(0o400)
        path = tmp_path / "hamon.toml"
        path.write_text(main + extra)
        return path

    return writer


def told(path: Path) -> str:
    """Return all findings as one text."""
    return "\n".join(map(str, check(path)))


def test_load__values_given__reach_policy_and_hosts(write: Write) -> None:
    """What the operator writes is what the core decides by."""
    path = write('[detection]\nlate_after_s = 3\nleaving = "evacuate"\n')

    settings = load(path)

    assert settings.policy.detection.late_after_s == 3.0
    assert settings.policy.detection.leaving is LeavingPolicy.EVACUATE
    assert [host.name for host in settings.hosts] == ["compute-1", "compute-2"]
    assert str(path.parent / "hosts.d/../secret") == settings.hosts[0].fence[0].password_file


def test_load__time_of_a_knock__is_the_one_that_is_knocked_with() -> None:
    """The sum of the session time-out counts with what the probes really wait."""
    assert KnockingPace().timeout_s == KNOCK_S


def test_load__session_timeout__is_also_the_agents(write: Write) -> None:
    """One time-out, written once."""
    main = MAIN + "session_timeout_s = 8\n"

    assert load(write(main=main)).policy.detection.session_timeout_s == 8.0


def test_load__password_of_a_host__becomes_its_digest(write: Write) -> None:
    """ACLs name the digest of user and password; the password itself goes nowhere."""
    host = load(write()).hosts[0]

    # printf host-compute-1:'correct horse' | openssl sha1 -binary | base64
    assert host.zookeeper_identity == "host-compute-1:JISA3NR15HUD7U6k7KMHYjJWGAo="


def test_load__storages__are_known_by_name_and_no_policy(write: Write) -> None:
    """What a controller has mounted where is its own matter."""
    settings = load(write(f"[storage]\nheartbeats = [{NFS1}]\n"))

    assert {"nfs1": Path("/srv/beats")} == settings.storage.heartbeats
    assert load(write("")).digest == settings.digest


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (
            "tick_time_s = 2\n",
            ["zookeeper.session_timeout_s: 6 < 1.5 × (sync_limit 3 + 1)", "= 12: "],
        ),
        ("connect_timeout_s = 6\n", ["6 × 1 servers = 6 ≥ session_timeout_s 6"]),
        ("[fencing]\nlease_s = 7\n", ["fencing.lease_s: 7 ≥ zookeeper.session_timeout_s 6"]),
        ("[detection]\nlate_after_s = 1\n", ["detection.late_after_s: 1 < 2 × probe_period_s 1"]),
        ("[detection]\nlate_after_s = 5.5\n", ["late_after_s: 5.5 + 0.5 for a knock = 6 ≥"]),
        ("[detection]\nfresh_s = 1.5\n", ["detection.fresh_s: 1.5 < 2 × probe_period_s 1 = 2"]),
        ("[detection]\noff_gap_s = 0.2\n", ["detection.off_gap_s: 0.2 < 1"]),
        ("[detection]\nlook_period_s = 0.1\n", ["look_period_s: (6 - 1) × 0.1 = 0.5 <", "gap_s 1"]),
        ("[fencing]\nreread_period_s = 0.1\n", ["reread_period_s: (6 - 1) × 0.1 = 0.5 <"]),
        ("[detection]\noff_gap_s = 5.5\n", ["look_period_s: (6 - 1) × 1 = 5 <", "gap_s 5.5"]),
        ("[detection]\nlook_timeout_s = 9\n", ["confirm_timeout_s: 15 < 2 ×", "= 19"]),
        ("[fencing]\nproof_fresh_s = 4\n", ["proof_fresh_s: 4 < reread_period_s 3 +", "= 8"]),
        ("[fencing]\noperator_word_s = 30\n", ["operator_word_s: 30 ≤ 30: ", "raise it"]),
        ("[fencing]\nshot_deadline_s = 0.5\n", ["shot_deadline_s: 0.5 ≤ lease_s 0.5"]),
        ("[holds]\nstorm_hosts_max = 0\n", ["holds.storm_hosts_max: 0 must be more than 0"]),
        ("[holds]\nstorm_share_max = 25.0\n", ["holds.storm_share_max: 25 > 1"]),
        ("[holds]\nstorm_window_s = 5\n", ["holds.storm_window_s: 5 <", "= 8"]),
        ("[holds]\ntick_lag_max_s = 6\n", ["holds.tick_lag_max_s: 6 ≥"]),
        ("[evacuation]\nin_flight_max = 4\n", ["per_destination_max: 8 > in_flight_max 4"]),
        ("[recovery]\nquarantine_max_s = 1\n", ["quarantine_s: 300 > quarantine_max_s 1"]),
        ("[recovery]\nforget_after_s = -1\n", ["recovery.forget_after_s: -1 must be more"]),
        (
            f"[storage]\nheartbeat_period_s = 2\nheartbeats = [{NFS1}]\n",
            ["storage.heartbeat_period_s: 2.5 × 2 = 5 > detection.fresh_s 3"],
        ),
    ],
)
def test_check__arithmetic_that_fails__shows_key_value_and_sum(
    write: Write, extra: str, words: list[str]
) -> None:
    """An operator sees which number, which sum, and which other numbers it comes from."""
    findings = told(write(extra))

    assert [word for word in words if word not in findings] == [], findings


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("[detection]\nlate_aftr_s = 3\n", ["hamon.toml:9:", "did you mean detection.late_after"]),
        ("[detecton]\n", ["detecton: no such key; did you mean detection?"]),
        ("[holds]\nlease_s = 3\n", ["did you mean fencing.lease_s?"]),
        ('[detection]\nfresh_s = "3"\n', ['detection.fresh_s: "3": ', "valid number"]),
        ("[detection]\nfresh_s = nan\n", ["detection.fresh_s"]),
        ("[detection]\nsession_timeout_s = 9\n", ["written once"]),
        ('[detection]\nleaving = "stay"\n', ["'wait', 'evacuate' or 'leave'"]),
        ('[log]\nlevel = "loud"\n', ["log.level"]),
        ('[metrics]\nlisten = "9731"\n', ["metrics.listen", "write host:port"]),
        (
            '[metrics]\ncertificate_file = "metrics.pem"\n',
            ["metrics.key_file", "is missing: certificate_file needs it"],
        ),
        (
            '[metrics]\npassword_file = "secret"\n',
            ["metrics.username", "is missing: password_file needs it"],
        ),
        (
            '[metrics]\nlisten = "0.0.0.0:9731"\nusername = "u"\npassword_file = "secret"\n',
            ["metrics.certificate_file", "everybody on the way reads the password"],
        ),
        ('[metrics]\nusername = "a:b"\npassword_file = "secret"\n', ["metrics.username"]),
        ('[metrics]\nusername = "u"\npassword_file = "gone"\n', ["metrics.password_file"]),
        (
            '[metrics]\ncertificate_file = "secret"\nkey_file = "hamon.toml"\n',
            ["metrics.key_file", "lets others at this secret"],
        ),
        (
            '[[storage.heartbeats]]\nname = "nfs1"\npath = "beats"\n',
            ["storage.heartbeats.0.path", "write an absolute path"],
        ),
        (
            '[[storage.heartbeats]]\nname = "NFS 1"\npath = "/srv/beats"\n',
            ["storage.heartbeats.0.name", "not a name"],
        ),
        (
            f"[storage]\nheartbeats = [{NFS1}, {NFS1}]\n",
            ["the name nfs1 stands there twice", "the path /srv/beats stands there twice"],
        ),
        ('[kdump]\nlisten = "compute-1:7410"\n', ["kdump.listen", "compute-1"]),
        ("[holds]\nstorm_hosts_max = true\n", ["holds.storm_hosts_max"]),
        ("[log\n", ["not valid TOML", "line 8"]),
    ],
)
def test_check__wrong_key_or_value__says_where_and_what(
    write: Write, extra: str, words: list[str]
) -> None:
    """Nothing unknown is ignored and nothing is guessed."""
    findings = told(write(extra))

    assert [word for word in words if word not in findings] == [], findings


@pytest.mark.parametrize(
    ("hosts", "words"),
    [
        ('[host.x]\nfence.bmc.address = "203.0.113.9"\n', ["host.x.planes: is missing"]),
        ('[host."compute-{3..1}"]\n', ["1 - 3 + 1 = -1 hosts"]),
        ('[host."compute-{a..b}"]\n', ["write one range"]),
        ('[host."Compute"]\n', ["'Compute' is not a host name"]),
        ('[host."../x"]\n', ["is not a host name"]),
        ('[host."cluster"]\n', ["'cluster' cannot be a host's name"]),
        ('[host."compute-{2..3}"]\n', ["compute-2 is in compute-{1..2} as well"]),
        (
            '[host.x]\nplanes.management.address = "{n}"\n',
            ["{n} needs a pattern; x has no number"],
        ),
        (
            ELSEWHERE.replace("192.0.2.99", "192.0.2.11"),
            ["192.0.2.11 is already that of compute-1 in hosts.toml"],
        ),
        (
            ELSEWHERE.replace("203.0.113.9", "203.0.113.2"),
            ["host.x.fence.bmc", "203.0.113.2 623 is already that of compute-2"],
        ),
        (
            ELSEWHERE.replace("192.0.2.99", "127.0.0.1"),
            ["host.x.planes.management.address: 127.0.0.1 is this machine", "allow_loopback"],
        ),
        (
            ELSEWHERE.replace("203.0.113.9", "::1"),
            ["host.x.fence.bmc.address: ::1 is this machine"],
        ),
        (ELSEWHERE.replace("192.0.2.99", "169.254.1.1"), ["169.254.1.1 is link-local"]),
        (ELSEWHERE.replace("203.0.113.9", "224.0.0.1"), ["224.0.0.1 is no address of one machine"]),
        (
            ELSEWHERE.replace("203.0.113.9", "192.0.2.99"),
            ["host's own address on plane management"],
        ),
        (
            ELSEWHERE + 'planes.storage.address = "192.0.2.99"\n',
            ["two planes on one are one witness"],
        ),
        (
            ELSEWHERE + 'planes.storage.address = "192.0.2.11"\n',
            ["host.x.planes.storage.address: 192.0.2.11 is already that of compute-1"],
        ),
        (
            ELSEWHERE + 'kdump_addresses = ["198.51.100.7", "192.0.2.12"]\n',
            ["host.x.kdump_addresses: 192.0.2.12 is already that of compute-2"],
        ),
        (
            ELSEWHERE + 'kdump_addresses = ["127.0.0.1"]\n',
            ["host.x.kdump_addresses: 127.0.0.1 is this machine"],
        ),
        (ELSEWHERE + 'kdump_addresses = ["x"]\n', ["host.x.kdump_addresses", "'x'"]),
        (
            ELSEWHERE + "accept_bmc_only = false\n",
            ["bmc lose power together with the host", "accept_bmc_only = true"],
        ),
        (
            ELSEWHERE + 'zookeeper_password_file = ""\nzookeeper_digest = "host-y:AAAA"\n',
            ["must read host-x:"],
        ),
        (
            ELSEWHERE + 'fence.bmc.passwd = "hunter2hunter2"\n',
            ["hosts.toml:16: host.x.fence.bmc.passwd: no such key"],
        ),
        (ELSEWHERE + "fence.bmc.cipher = 0\n", ["host.x.fence.bmc.cipher: 0: "]),
        (ELSEWHERE + 'fence.bmc.kind = "ilo"\n', ["'agent', 'storage' or 'watchdog'"]),
        (
            ELSEWHERE + 'fence.dog = { kind = "watchdog", address = "203.0.113.7" }\n',
            ["host.x.fence.dog.address: no such key"],
        ),
        (
            ELSEWHERE + 'fence.dog.kind = "watchdog"\nfence.cat.kind = "watchdog"\n',
            ["host.x.fence.dog: cat is the host's watchdog already"],
        ),
        (
            ELSEWHERE + 'fence.dog = { kind = "watchdog", margin_s = 0.0 }\n',
            ["host.x.fence.dog.margin_s: 0.0: "],
        ),
        (ELSEWHERE + "[host.y]\nplanes.management.address = 7\n", ["host.y.planes.management"]),
    ],
)
def test_check__wrong_host__is_refused(write: Write, hosts: str, words: list[str]) -> None:
    """A typing error in a host must not fence another one."""
    findings = told(write(hosts={"hosts.toml": HOSTS + hosts}))

    assert [word for word in words if word not in findings] == [], findings
    assert "hunter2" not in findings


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ('missing_as_off = true\nplug = "x"', "Already OFF"),
        ('missing-as-off = true\nplug = "x"', "Already OFF"),
        ('method = "cycle"\nplug = "x"', "only method onoff"),
        ('action = "reboot"\nplug = "x"', "hamon chooses the action"),
        ('disable_timeout = true\nplug = "x"', "hang for ever"),
        ('passwd = "hunter2"\nplug = "x"', "use password_file"),
        ('plug = "1,2"', "several plugs"),
        ('ssl-insecure = true\nplug = "x"', "allow_insecure_tls"),
    ],
)
def test_check__option_that_could_fake_a_proof__is_refused(
    write: Write, options: str, words: str
) -> None:
    """Options that turn a mistake into "Off" never reach an agent, in whatever spelling."""
    hosts = f"""{ELSEWHERE}
[host.x.fence.outlet]
kind = "agent"
agent = "fence_apc_snmp"
[host.x.fence.outlet.options]
{options}
"""
    findings = told(write(hosts={"hosts.toml": HOSTS + hosts}))

    assert words in findings
    assert "hunter2" not in findings


REDFISH = """
[host.x]
planes.management.address = "192.0.2.99"
fence.bmc.address = "203.0.113.9"
fence.bmc.kind = "redfish"
"""
HOOK = """
[host.x]
planes.management.address = "192.0.2.99"
fence.bmc.address = "203.0.113.9"
fence.hook.kind = "storage"
fence.hook.level = 2
"""


@pytest.mark.parametrize(
    ("written", "system"),
    [
        ("1", "/redfish/v1/Systems/1"),
        ("System.Embedded.1", "/redfish/v1/Systems/System.Embedded.1"),
        ("/redfish/v1/Systems/{name}/", "/redfish/v1/Systems/x"),
    ],
)
def test_load__redfish_device__is_read_whole(write: Write, written: str, system: str) -> None:
    """An id or a path name the same system; the port is that of HTTPS."""
    hosts = REDFISH + f'fence.bmc.system = "{written}"\nfence.bmc.delay_s = 2.5\n'

    (bmc,) = load(write(hosts={"hosts.toml": HOSTS + hosts})).hosts[-1].fence

    assert (bmc.system, bmc.port, bmc.delay_s) == (system, 443, 2.5)
    assert (bmc.username, bmc.ca_file, bmc.allow_insecure_tls) == ("admin", "", False)
    assert not bmc.is_revocation


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("", "host.x.fence.bmc.system: is missing"),
        ('system = ""', "write the id or the path"),
        ('system = "/redfish/v1/Systems/"', "write the id or the path"),
        ('system = "../1"', "write the id or the path"),
        ('system = "/redfish/v1/Systems/1?x=y"', "write the id or the path"),
        ('system = "https://203.0.113.9/redfish/v1/Systems/1"', "write the id or the path"),
        ('system = "1"\nfence.bmc.username = ""', "fence.bmc.username"),
        ('system = "1"\nfence.bmc.cipher = 3', "fence.bmc.cipher: no such key"),
        ('system = "1"\nfence.bmc.delay_s = -1', "fence.bmc.delay_s: -1: "),
        ('system = "1"\nfence.bmc.ca_file = "../secret"', "holds no certificate"),
        ('system = "1"\nfence.bmc.ca_file = "nowhere"', "No such file"),
        ('system = "1"\nfence.bmc.password_file = "nowhere"', "No such file"),
        (
            'system = "1"\nfence.bmc.ca_file = "x"\nfence.bmc.allow_insecure_tls = true',
            "ca_file would not be looked at",
        ),
    ],
)
def test_check__unusable_redfish_device__is_refused(write: Write, lines: str, words: str) -> None:
    """A BMC that could not be asked, or whose answer could be anybody's, is found at start."""
    hosts = REDFISH + (f"fence.bmc.{lines}\n" if lines else "")

    findings = told(write(hosts={"hosts.toml": HOSTS + hosts}))

    assert words in findings
    assert "correct horse" not in findings


def test_check__redfish_password_of_21_bytes__is_accepted(write: Write) -> None:
    """The limit is that of IPMI."""
    path = write(hosts={"hosts.toml": HOSTS + REDFISH + 'fence.bmc.system = "1"\n'})
    secret = path.parent / "secret"
    secret.unlink()
    secret.write_text("x" * 21)
    secret.chmod(0o400)

    assert "host.x" not in told(path)


AGENT_REDFISH = """
[host.y]
planes.management.address = "192.0.2.98"
[host.y.fence.bmc]
address = "203.0.113.9"
kind = "agent"
agent = "fence_redfish"
"""
"""What [defaults] has for an IPMI device fits an agent too."""


@pytest.mark.fault("F51")
@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        # One BMC, spoken to in two ways.
        (ELSEWHERE, REDFISH.replace("host.x", "host.y").replace(".99", ".98")
         + 'fence.bmc.system = "1"\n', "203.0.113.9 is already the BMC of x"),
        (ELSEWHERE, AGENT_REDFISH + 'options = { systems_uri = "/redfish/v1/Systems/1" }\n',
         "203.0.113.9 is already the BMC of x"),
        (ELSEWHERE, AGENT_REDFISH.replace("fence_redfish", "fence_ilo"),
         "203.0.113.9 is already the BMC of x"),
        (ELSEWHERE, AGENT_REDFISH.replace("fence_redfish", "fence_ipmilan"),
         "fence device ipmi 203.0.113.9 623 is already that of x"),
        # One system, named in two ways.
        (REDFISH + 'fence.bmc.system = "1"\n',
         AGENT_REDFISH + 'options = { systems_uri = "/redfish/v1/systems/1/" }\n',
         "fence device redfish 203.0.113.9 443 /redfish/v1/systems/1 is already that of x"),
    ],
)  # fmt: skip
def test_check__two_hosts_on_one_bmc__are_refused(
    write: Write, first: str, second: str, words: str
) -> None:
    """Whatever protocol and program: the order for one host would hit the other."""
    findings = told(write(hosts={"hosts.toml": HOSTS + first + second}))

    assert words in findings


def test_check__two_systems_of_one_redfish_service__are_two_hosts(write: Write) -> None:
    """A chassis serves several, and each is named."""
    first = REDFISH + 'fence.bmc.system = "1"\n'
    second = first.replace("host.x", "host.y").replace(".99", ".98").replace('"1"', '"2"')

    assert check(write(hosts={"hosts.toml": HOSTS + first + second})) == ()


def test_check__only_a_redfish_bmc__is_bmc_only(write: Write) -> None:
    """It dies with its host's power like any BMC."""
    hosts = REDFISH + 'fence.bmc.system = "1"\naccept_bmc_only = false\n'

    assert "bmc lose power together with the host" in told(
        write(hosts={"hosts.toml": HOSTS + hosts})
    )


def test_load__storage_hook_beside_a_bmc__is_more_than_bmcs(write: Write) -> None:
    """A hook answers when the host has no power; its arguments have their placeholders filled."""
    hosts = HOOK + 'fence.hook.program = "/bin/true"\nfence.hook.arguments = ["vms", "{name}"]\n'

    settings = load(write(hosts={"hosts.toml": HOSTS + hosts + "accept_bmc_only = false\n"}))

    hook = settings.hosts[-1].fence[-1]
    assert (hook.program, hook.arguments) == ("/bin/true", ("vms", "x"))
    assert hook.is_revocation


def test_load__hosts_with_one_hook__are_told_apart_by_their_names(write: Write) -> None:
    """A hook learns the host from its environment: two hosts may use the same."""
    first = HOOK + 'fence.hook.program = "/bin/true"\n'
    second = first.replace("host.x", "host.y").replace(".99", ".98").replace(".113.9", ".113.8")

    assert check(write(hosts={"hosts.toml": HOSTS + first + second})) == ()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "host.x.fence.hook.program: is missing"),
        ('program = "hook"', "whole path"),
        ('program = "/nonexistent/hook"', "cannot be found"),
        ('program = "/etc/passwd"', "is no program"),
        ('program = "/bin"', "is no program"),
        ('program = "{hook}"', "others may change this program; run: chmod go-w hook"),
        ('program = "/bin/true"\nfence.hook.arguments = "x"', "fence.hook.arguments"),
        ('program = "/bin/true"\nfence.hook.address = "192.0.2.7"', "no such key"),
    ],
)
def test_check__unusable_storage_hook__is_refused(
    write: Write, tmp_path: Path, line: str, words: str
) -> None:
    """Whoever may change the program decides what hamon believes."""
    hook = tmp_path / "hook"
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o775)
    hosts = HOOK + (f"fence.hook.{line}\n".replace("{hook}", str(hook)) if line else "")

    assert words in told(write(hosts={"hosts.toml": HOSTS + hosts}))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file away")
def test_check__storage_hook_of_somebody_else__is_refused(write: Write, tmp_path: Path) -> None:
    """Its owner could change it."""
    hook = tmp_path / "hook"
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    os.chown(hook, 65534, 65534)

    findings = told(write(hosts={"hosts.toml": HOSTS + HOOK + f'fence.hook.program = "{hook}"\n'}))

    assert "belongs to user id 65534" in findings


def test_check__fence_redfish_without_a_system__is_refused(write: Write) -> None:
    """It would fence the last system its service lists."""
    assert "systems_uri: is missing" in told(write(hosts={"hosts.toml": HOSTS + AGENT_REDFISH}))


def test_refused_options__cover_what_the_adapter_forbids() -> None:
    """What the adapter would refuse at its first use is refused when the file is read."""
    assert frozenset() == FORBIDDEN_OPTIONS - REFUSED_OPTIONS.keys()


def test_load__false_option_of_an_agent__is_not_sent(write: Write) -> None:
    """Agents only look whether a boolean is there: ssl_insecure=0 switches verification off."""
    hosts = """
[defaults]
zookeeper_password_file = "../secret"
[host.x]
planes.management.address = "192.0.2.99"
[host.x.fence.outlet]
kind = "agent"
agent = "fence_apc_snmp"
options = { port = 4, ssl_insecure = false, ssl = true }
"""
    settings = load(write(hosts={"hosts.toml": hosts}))

    assert settings.hosts[0].fence[0].options == {"port": "4", "ssl": "1"}


def test_check__host_without_fence_device__is_refused(write: Write) -> None:
    """What can never be proven dead cannot be evacuated."""
    hosts = """
[host.x]
zookeeper_password_file = "../secret"
planes.management.address = "192.0.2.99"
"""
    assert "host.x.fence: the host has no fence device" in told(write(hosts={"hosts.toml": hosts}))


def test_load__watchdog__is_a_device_beside_the_bmc(write: Write) -> None:
    """It has no address to be told apart by: every host has its own, and it is no BMC."""
    hosts = HOSTS.replace("accept_bmc_only = true\n", "") + (
        'fence.dog = { kind = "watchdog", level = 3, reset_latency_s = 8 }\n'
    )

    settings = load(write(hosts={"hosts.toml": hosts}))

    dogs = [host.fence[1] for host in settings.hosts]
    assert [(dog.name, dog.kind, dog.level) for dog in dogs] == [("dog", "watchdog", 3)] * 2
    assert (dogs[0].reset_latency_s, dogs[0].margin_s) == (8.0, 5.0)


def test_load__kdump__listens_and_knows_the_senders(write: Write) -> None:
    """Crash notices are not listened for unless asked; addresses are spelt as sockets tell them."""
    assert load(write()).kdump == KdumpSettings(address="", port=0)
    hosts = {"hosts.toml": HOSTS + 'kdump_addresses = ["2001:DB8::{n}", "192.0.2.{n+10}"]\n'}

    settings = load(write('[kdump]\nlisten = "[::]:7410"\n', hosts))

    assert settings.kdump == KdumpSettings(address="::", port=7410)
    assert settings.hosts[1].kdump_addresses == ("2001:db8::2", "192.0.2.12")


def test_check__host_in_two_files__is_refused(write: Write) -> None:
    """Nobody could say which of the two holds."""
    findings = told(write(hosts={"hosts.toml": HOSTS, "more.toml": HOSTS}))

    assert "the name compute-1 is already that of compute-1 in hosts.toml" in findings


def test_check__override_allow_loopback__accepts_labs(write: Write) -> None:
    """Loopback is refused by default and accepted by name."""
    hosts = HOSTS.replace("192.0.2.{n+10}", "127.0.0.{n+10}")

    findings = check(write("[overrides]\nallow_loopback = true\n", {"hosts.toml": hosts}))

    assert findings == ()


@pytest.mark.parametrize("mode", [0o404, 0o440 | 0o020, 0o777])
def test_check__secret_open_to_others__is_refused(write: Write, mode: int) -> None:
    """A password that others can read or change is no secret."""
    path = write()
    (path.parent / "secret").chmod(mode)

    assert "lets others at this secret; run: chmod 0400 secret" in told(path)


def test_check__secret_missing__is_refused_once(write: Write) -> None:
    """A missing file is found at start, not during an incident; not once for each host."""
    path = write(hosts={"hosts.toml": HOSTS.replace('file = "../secret"', 'file = "../gone"')})

    findings = [str(finding) for finding in check(path) if "gone" in str(finding)]

    assert len(findings) == 1
    assert "No such file" in findings[0]
    assert "the same 1 × more" in findings[0]


def test_check__ipmi_password_of_21_bytes__is_refused_without_showing_it(write: Write) -> None:
    """IPMI 2.0 takes 20 bytes; the message counts them and keeps the secret."""
    path = write()
    secret = path.parent / "secret"
    secret.unlink()
    secret.write_text("é" * 10 + "x")
    secret.chmod(0o400)

    findings = told(path)

    assert "the password has 21 bytes; IPMI 2.0 takes 20" in findings
    assert "é" not in findings


def test_check__several_faults__reports_them_all(write: Write) -> None:
    """One round of corrections, not one for each fault."""
    path = write(
        "[fencing]\nlease_s = 9\nproof_fresh_s = 1\n",
        {"hosts.toml": HOSTS + "[host.x]\n", "broken.toml": "[host\n"},
    )

    with pytest.raises(ConfigError, match="faults must be corrected") as caught:
        load(path)

    for words in ("fencing.lease_s", "proof_fresh_s", "host.x.planes", "broken.toml"):
        assert words in str(caught.value)


@pytest.mark.parametrize("missing", ["hamon.toml", "hosts.d/hosts.toml"])
def test_load__file_missing__says_which(write: Write, missing: str) -> None:
    """Hamon never starts with half a configuration."""
    path = write()
    (path.parent / missing).unlink()

    with pytest.raises(ConfigError, match=missing.split("/", maxsplit=1)[0]):
        load(path)


def test_digest__same_decisions__are_equal_and_others_are_not(write: Write) -> None:
    """Controllers compare what they decide by, not what is each machine's own matter."""
    first = load(write())
    other_machine = MAIN.replace("controller-1", "controller-2") + "connect_timeout_s = 0.4\n"

    second = load(write('[log]\nlevel = "debug"\n', main=other_machine))
    third = load(write("[holds]\nstorm_hosts_max = 2\n"))
    fourth = load(write(hosts={"hosts.toml": HOSTS.replace("203.0.113", "203.0.114")}))

    assert first.digest == second.digest
    assert len({first.digest, third.digest, fourth.digest}) == 3


def test_digest__files_lie_elsewhere__is_the_same(write: Write) -> None:
    """Where a password and a certificate lie is each machine's own matter; the system is not."""
    settings = load(write(hosts={"hosts.toml": HOSTS + REDFISH + 'fence.bmc.system = "1"\n'}))
    *others, host = settings.hosts
    (bmc,) = host.fence

    def digest(**changes: str) -> str:
        changed = dataclasses.replace(host, fence=(dataclasses.replace(bmc, **changes),))  # type: ignore[arg-type]
        return digest_of(settings.cluster, settings.policy, (*others, changed))

    assert settings.digest == digest(ca_file="/elsewhere", password_file="/elsewhere")
    assert settings.digest != digest(system="/redfish/v1/Systems/2")


def test_settings__are_frozen(write: Write) -> None:
    """A reload makes a new value; nobody changes the one in use."""
    settings = load(write())

    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.cluster = "other"  # type: ignore[misc]
