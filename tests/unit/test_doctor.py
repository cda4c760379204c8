"""What the doctor says of an installation: who is not looked after, and what to do about it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from hamon.doctor.ensemble import of_version
from hamon.doctor.finding import Finding, Level
from hamon.doctor.hosts import examine
from hamon.model.change import Versioned
from hamon.model.control import Control
from hamon.model.guest import NotMovable
from hamon.model.guest_policy import EVACUATE
from hamon.model.host import HostChecks, HostDomains, HostSpec, HostState
from hamon.model.names import ControllerId, HostName
from hamon.model.stored import StoredCluster, StoredHost
from hamon.model.view import ControllerView
from hamon.settings.load import load
from hamon.settings.values import Settings
from tests.builders import BOOT, HOST, SPARE, a_host, an_entry

VERSION = "1.2.3"

CONFIG = """
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
[host.host-1]
planes.management.address = "192.0.2.11"
planes.storage.address = "192.0.2.21"
fence.bmc.address = "203.0.113.1"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give the settings of a controller that looks after one host."""
    (tmp_path / "hosts.d").mkdir()
    (tmp_path / "hosts.d/hosts.toml").write_text(HOSTS.replace("host-1", HOST))
    secret = tmp_path / "secret"
    secret.write_text("correct horse\n")
    secret.chmod(0o400)
    (tmp_path / "hamon.toml").write_text(CONFIG)
    return load(tmp_path / "hamon.toml")


def stored_host(spec: HostSpec, **parts: object) -> StoredHost:
    """The host as ZooKeeper holds it when all is well."""
    view = a_host(spec.name, entries=[an_entry()])
    assert view.self_.value is not None
    assert view.domains is not None
    addresses = {plane.plane: plane.address for plane in spec.planes}
    seen = replace(view.self_.value, addresses=addresses, agent_version=VERSION)
    stored = StoredHost(
        guard=view.guard,
        record=view.record,
        self_=Versioned(value=seen, version=0),
        session=1,
        domains=view.domains,
        is_attended=True,
        inventory=view.inventory,
    )
    return replace(stored, **parts)  # type: ignore[arg-type]


def cluster(
    settings: Settings,
    *,
    hosts: Mapping[HostName, StoredHost] | None = None,
    controllers: int = 2,
    is_led: bool = True,
    is_armed: bool = True,
) -> StoredCluster:
    """The cluster as ZooKeeper holds it when all is well."""
    names = [ControllerId(f"controller-{number + 1}") for number in range(controllers)]
    [spec] = settings.hosts
    return StoredCluster(
        control=Versioned(value=Control(is_armed=is_armed, reason="work"), version=0),
        hosts={spec.name: stored_host(spec)} if hosts is None else hosts,
        controllers={
            name: ControllerView(controller=name, version=VERSION, policy_hash=settings.digest)
            for name in names
        },
        leader=names[0] if is_led and names else None,
    )


def bad(found: list[Finding]) -> list[tuple[Level, str]]:
    """Return what is not as it should be."""
    return [(each.level, each.what) for each in found if each.level is not Level.OK]


def test_examine__all_is_well__finds_nothing_wrong(settings: Settings) -> None:
    """And says what was looked at."""
    found = examine(settings, cluster(settings), VERSION)

    assert bad(found) == []
    assert "1 of 1 hosts are looked after" in [each.what for each in found]
    assert "1 are protected" in [each.what for each in found]


@pytest.mark.parametrize(
    ("parts", "level", "what"),
    [
        ({"session": None}, Level.FAULT, "has no session"),
        ({"is_attended": False}, Level.FAULT, "its guests process has no session"),
        ({"domains": HostDomains(boot_id=BOOT, is_healthy=False)}, Level.FAULT, "does not answer"),
        ({"self_": Versioned(value=None, version=0)}, Level.FAULT, "has never registered"),
        (
            {"checks": HostChecks(boot_id=BOOT, failed={"link:bond0": "no carrier"})},
            Level.WARNING,
            "link:bond0: no carrier",
        ),
        (
            {"record": a_host(HOST, HostState.QUARANTINED).record},
            Level.WARNING,
            "is QUARANTINED",
        ),
    ],
)
def test_examine__host_with_a_trouble__is_told(
    settings: Settings, parts: dict[str, object], level: Level, what: str
) -> None:
    """Each with what to do about it, if there is something."""
    [spec] = settings.hosts
    hosts = {spec.name: stored_host(spec, **parts)}

    found = examine(settings, cluster(settings, hosts=hosts), VERSION)

    assert [told for told in bad(found) if told[0] is level and what in told[1]]
    assert "0 of 1 hosts are looked after" in [each.what for each in found]


def test_examine__host_that_says_something_else_than_hosts_d__is_told(settings: Settings) -> None:
    """Its address, its machine: what is believed of its silence and its power hangs on them."""
    [spec] = settings.hosts
    seen = stored_host(spec).self_.value
    assert seen is not None
    other = replace(seen, addresses={"management": "192.0.2.99"}, agent_version="0.9")
    hosts = {spec.name: stored_host(spec, self_=Versioned(value=other, version=0))}
    of_another = replace(settings, hosts=(replace(spec, product_uuid=BOOT),))

    found = bad(examine(of_another, cluster(settings, hosts=hosts), VERSION))

    assert len([what for _, what in found if "192.0.2.99 on the host" in what]) == 1
    assert len([what for _, what in found if "says it is machine" in what]) == 1
    assert len([what for _, what in found if "agent is version 0.9" in what]) == 1


def test_examine__host_that_is_not_enrolled_and_one_that_is_not_configured__are_told(
    settings: Settings,
) -> None:
    """Both are not looked after."""
    hosts = {SPARE: stored_host(settings.hosts[0])}

    found = [what for _, what in bad(examine(settings, cluster(settings, hosts=hosts), VERSION))]

    assert f"{HOST} is not enrolled yet" in found
    assert f"{SPARE} is enrolled and not configured" in found


def test_examine__host_without_a_fence_device__is_told(settings: Settings) -> None:
    """Nobody but a person could say that it is dead."""
    bare = replace(settings, hosts=(replace(settings.hosts[0], fence=()),))

    found = examine(bare, cluster(bare), VERSION)

    assert (Level.FAULT, f"{HOST} has no fence device") in bad(found)


def test_examine__guests_that_stay__are_counted_by_why(settings: Settings) -> None:
    """Who is unprotected, and why, is known before a host dies."""
    [spec] = settings.hosts
    entries = [
        an_entry(1),
        an_entry(2, not_movable=(NotMovable.NVRAM,)),
        an_entry(3, choices={EVACUATE: "false"}),
    ]
    hosts = {spec.name: stored_host(spec, inventory={e.guest: e for e in entries})}

    found = [each.what for each in examine(settings, cluster(settings, hosts=hosts), VERSION)]

    assert "1 are protected" in found
    assert "1 stay with their host when it dies: nvram" in found
    assert "1 stay with their host when it dies: opted out" in found


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ({"controllers": 0}, "no daemon is registered"),
        ({"controllers": 1}, "there is one controller only"),
        ({"is_led": False}, "nobody leads"),
        ({"is_armed": False}, "hamon is disarmed: work"),
    ],
)
def test_examine__controllers__are_told_of(
    settings: Settings, parts: dict[str, bool | int], what: str
) -> None:
    """Who leads, who is missing, who goes by something else."""
    found = examine(settings, cluster(settings, **parts), VERSION)  # type: ignore[arg-type]

    assert what in [told for _, told in bad(found)]


def test_examine__controllers_of_another_version_or_policy__are_told(settings: Settings) -> None:
    """An upgrade that was not ended, a file that was not copied."""
    found = examine(settings, cluster(settings), "2.0.0")
    other = replace(settings, digest="another")

    assert "controller-2 runs version 1.2.3, this is 2.0.0" in [what for _, what in bad(found)]
    told = [what for _, what in bad(examine(other, cluster(settings), VERSION))]
    assert "controller-1 goes by another configuration" in told


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ("3.4.13", Level.FAULT),
        ("3.7.2", Level.FAULT),
        ("3.8.0-${mvnbuild.Number}", Level.WARNING),
        ("3.8.6", Level.OK),
        ("3.9.4", Level.WARNING),
        ("3.9.5", Level.OK),
        ("3.10.0", Level.OK),
    ],
)
def test_version__of_a_server__is_judged(version: str, level: Level) -> None:
    """Too old to work, with known holes, or well."""
    word = f"Zookeeper version: {version}, built on 2024\nMode: leader\n"

    [found] = of_version("192.0.2.1:2181", "leader", word)

    assert found.level is level
