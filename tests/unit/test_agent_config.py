"""agent.toml: read whole or refused with the key and the reason."""

from pathlib import Path

import pytest

from hamon.agent.config import load_config
from hamon.agent.guarded_heartbeat import WatchdogSettings
from hamon.errors import ConfigError
from hamon.model.policy import Backend

SHIPPED = Path(__file__).parents[2] / "config" / "agent.toml"
DIGEST = "controllers:AAAAAAAAAAAAAAAAAAAAAAAAAAA="
NFS1 = '{ name = "nfs1", path = "/srv/beats" }'
LEAST = f"""\
host = "compute-1"
[zookeeper]
servers = ["192.0.2.1:2181"]
controllers_digest = "{DIGEST}"
[planes]
management = "192.0.2.11"
"""


def written(folder: Path, text: str) -> Path:
    """Write a configuration."""
    path = folder / "agent.toml"
    path.write_text(text)
    return path


def test_config__as_shipped__is_read() -> None:
    """The page that explains every key is a working configuration."""
    config = load_config(SHIPPED)

    assert ("compute-1", 7420) == (config.host, config.echo_port)
    assert ("/srv/guests",) == config.shared_paths


def test_config__as_shipped__shows_the_defaults(tmp_path: Path) -> None:
    """A commented key has the value shown: uncommented, nothing changes."""
    uncommented = "\n".join(
        line.removeprefix("# ") if line.startswith("# ") and " = " in line else line
        for line in SHIPPED.read_text().splitlines()
        if "storage = " not in line
    )

    assert load_config(SHIPPED) == load_config(written(tmp_path, uncommented))


def test_config__least__is_enough(tmp_path: Path) -> None:
    """Only what cannot be guessed has to be told."""
    config = load_config(written(tmp_path, LEAST))

    assert {"management": "192.0.2.11"} == dict(config.planes)
    assert 6.0 == config.session_timeout_s


def test_config__nova__needs_no_storage(tmp_path: Path) -> None:
    """Nova knows which storage is shared."""
    config = load_config(written(tmp_path, f'backend = "nova"\n{LEAST}'))

    assert (Backend.NOVA, ()) == (config.backend, config.shared_paths)
    assert Backend.LIBVIRT is load_config(written(tmp_path, LEAST)).backend


def test_config__heartbeats_and_links__are_read(tmp_path: Path) -> None:
    """Shared storages by name, beside what is said of the guests' disks."""
    config = load_config(
        written(
            tmp_path,
            f"""\
{LEAST}
[storage]
shared_paths = ["/srv/guests"]
heartbeat_period_s = 0.5
[[storage.heartbeats]]
name = "nfs1"
path = "/srv/beats"
[[storage.heartbeats]]
name = "nfs2"
path = "/srv/more"
[checks]
links = ["bond0", "br-tenant"]
""",
        )
    )

    assert {"nfs1": Path("/srv/beats"), "nfs2": Path("/srv/more")} == dict(config.heartbeats)
    assert ("bond0", "br-tenant") == config.links
    assert (0.5, ("/srv/guests",)) == (config.heartbeat_period_s, config.shared_paths)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('host = "compute-1"', 'host = "Compute 1"', "host"),
        ('host = "compute-1"', "", "host"),
        ('host = "compute-1"', 'host = "a"\nhots = "b"', "hots"),
        ('"192.0.2.1:2181"', '"192.0.2.1"', "zookeeper.servers"),
        ('["192.0.2.1:2181"]', "[]", "zookeeper.servers"),
        (DIGEST, "secret", "zookeeper.controllers_digest"),
        ('"192.0.2.11"', '"management-net"', "planes.management"),
        ('management = "192.0.2.11"', "", "planes"),
        ('host = "compute-1"', 'host = "compute-1"\nbackend = "ovirt"', "backend"),
        ("[planes]", "connect_timeout_s = 3\n[planes]", "zookeeper.connect_timeout_s"),
        ("[planes]", "session_timeout_s = true\n[planes]", "zookeeper.session_timeout_s"),
        ("[planes]", '[paths]\nrun_dir = "run"\n[planes]', "paths.run_dir"),
        ("[planes]", '[watchdog]\ndevice = "/dev/null"\n[planes]', "watchdog.device"),
        ("[planes]", "[watchdog]\ntimeout_s = 1\n[planes]", "watchdog.timeout_s"),
        ("[planes]", "[watchdog]\ntimeout_s = 121\n[planes]", "watchdog.timeout_s"),
        ("[planes]", '[watchdog]\nallow_soft = "yes"\n[planes]', "watchdog.allow_soft"),
        (
            "[planes]",
            '[watchdog]\ndevice = "/dev/watchdog0"\ntimeout_s = 15.5\n[planes]',
            "watchdog.timeout_s",
        ),
        ("[planes]", '[storage]\nshared_paths = ["/"]\n[planes]', "storage.shared_paths"),
        ("[planes]", "[echo]\nport = 70000\n[planes]", "echo.port"),
        ("[planes]", "[storage]\nheartbeats = [1]\n[planes]", "storage.heartbeats"),
        ("[planes]", f"[storage]\nheartbeats = [{NFS1}, {NFS1}]\n[planes]", "storage.heartbeats"),
        (
            "[planes]",
            '[[storage.heartbeats]]\nname = "nfs1"\npath = "beats"\n[planes]',
            "storage.heartbeats",
        ),
        (
            "[planes]",
            '[[storage.heartbeats]]\nname = "nfs1"\n[planes]',
            "storage.heartbeats",
        ),
        ("[planes]", "[storage]\nheartbeat_late_s = 2\n[planes]", "storage.heartbeat_late_s"),
        ("[planes]", '[checks]\nlinks = ["../x"]\n[planes]', "checks.links"),
        ("[planes]", '[metrics]\nlisten = "9732"\n[planes]', "metrics.listen"),
        ("[planes]", '[metrics]\nlisten = "127.0.0.1:99999"\n[planes]', "metrics.listen"),
        ("[planes]", '[metrics]\nlisten = "host:9732"\n[planes]', "metrics.listen"),
        ("[planes]", '[metrics]\nkey_file = "/k"\n[planes]', "metrics.certificate_file"),
        ("[planes]", '[metrics]\nusername = "u"\n[planes]', "metrics.password_file"),
        (
            "[planes]",
            '[metrics]\nlisten = "0.0.0.0:9732"\nusername = "u"\npassword_file = "/p"\n[planes]',
            "metrics.certificate_file",
        ),
        (
            "[planes]",
            '[metrics]\nusername = "a:b"\npassword_file = "/p"\n[planes]',
            "metrics.username",
        ),
    ],
)
def test_config__wrong__is_refused_with_its_key(
    tmp_path: Path, old: str, new: str, key: str
) -> None:
    """Half a configuration never starts an agent."""
    assert old in LEAST

    with pytest.raises(ConfigError) as refused:
        load_config(written(tmp_path, LEAST.replace(old, new, 1)))

    assert key == refused.value.key


def test_config__missing_file__is_refused(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(ConfigError, match=r"agent\.toml"):
        load_config(tmp_path / "agent.toml")


def test_password__others_may_read_it__is_refused(tmp_path: Path) -> None:
    """A password that everybody knows protects nothing."""
    secret = tmp_path / "password"
    secret.write_text("secret\n")
    secret.chmod(0o644)
    text = LEAST.replace("[planes]", f'password_file = "{secret}"\n[planes]')
    config = load_config(written(tmp_path, text))

    with pytest.raises(ConfigError, match="chmod"):
        config.password()

    secret.chmod(0o600)
    assert "secret" == config.password()


def test_config__watchdog__is_used_when_a_device_is_named(tmp_path: Path) -> None:
    """It is optional: a host that resets itself is nobody's default."""
    assert load_config(written(tmp_path, LEAST)).watchdog is None
    assert load_config(written(tmp_path, LEAST + "[watchdog]\ntimeout_s = 30\n")).watchdog is None

    used = load_config(written(tmp_path, LEAST + '[watchdog]\ndevice = "/dev/watchdog1"\n'))

    assert used.watchdog is not None
    assert used.watchdog.device == Path("/dev/watchdog1")
    assert used.watchdog.settings == WatchdogSettings(timeout_s=15, r_max_s=2.0)


def test_config__watchdog_shorter_than_a_failover__shows_the_sum(tmp_path: Path) -> None:
    """Every host would reset itself while ZooKeeper replaces its leader."""
    text = LEAST + '[watchdog]\ndevice = "/dev/watchdog0"\ntimeout_s = 8\n'

    with pytest.raises(ConfigError, match=r"8 - 2 .* 2 = 4 < session_timeout_s 6"):
        load_config(written(tmp_path, text))
