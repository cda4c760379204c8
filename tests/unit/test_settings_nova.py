"""[nova] is refused when it is half a way to log in, or two; what is used is used as written."""

from collections.abc import Callable
from pathlib import Path

import pytest
from keystoneauth1.identity import v3
from keystoneauth1.identity.generic import Password

from hamon.errors import ConfigError
from hamon.logs import REDACTED, REDACTOR
from hamon.model.policy import Backend
from hamon.settings.clouds import access_of
from hamon.settings.load import check, load
from hamon.settings.values import (
    ApplicationCredential,
    CloudEntry,
    NovaSettings,
    PasswordLogin,
)

MAIN = """
[cluster]
name = "lab"
controller = "controller-1"
backend = "nova"
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

PASSWORD = """
[nova]
auth_url = "https://192.0.2.9:5000/v3"
username = "hamon"
password_file = "secret"
project = "service"
"""

CREDENTIAL = """
[nova]
auth_url = "https://192.0.2.9:5000/v3"
application_credential_id = "0af1"
application_credential_secret_file = "secret"
"""

CLOUD = """
[nova]
cloud = "site"
clouds_file = "clouds.yaml"
"""

CLOUDS = """
clouds:
  site:
    auth:
      auth_url: https://192.0.2.9:5000/v3
      username: hamon
      password: "tr0ub4dor-of-the-entry"
      project_name: service
      user_domain_name: Default
      project_domain_name: Default
    region_name: north
    cacert: /etc/ssl/site.pem
  limited:
    auth_type: v3applicationcredential
    auth:
      auth_url: https://192.0.2.9:5000/v3
      application_credential_id: 0af1
      application_credential_secret: "another-secret-of-an-entry"
    interface: admin
    compute_endpoint_override: https://192.0.2.9:8774/v2.1
    verify: false
  bare:
    auth:
      auth_url: https://192.0.2.9:5000/v3
      username: hamon
  remote:
    profile: https://vendor.example
  odd: 7
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Give a writer of configurations with a [nova], hosts and a clouds.yaml."""

    def writer(nova: str = PASSWORD, *, hosts: str = "", main: str = MAIN) -> Path:
        (tmp_path / "hosts.d").mkdir()
        (tmp_path / "hosts.d" / "hosts.toml").write_text(HOSTS + hosts)
        for name, text in (("secret", "correct horse\n"), ("clouds.yaml", CLOUDS)):
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o400)
        path = tmp_path / "hamon.toml"
        path.write_text(main + nova)
        return path

    return writer


def told(path: Path) -> str:
    """Return all findings as one text."""
    return "\n".join(map(str, check(path)))


def without(key: str, table: str) -> str:
    """Leave a key out of a table."""
    return "".join(line for line in table.splitlines(keepends=True) if not line.startswith(key))


def test_load__password__is_a_login_without_the_password(write: Write) -> None:
    """Settings say where the password lies; they never hold it."""
    path = write()

    settings = load(path)

    assert Backend.NOVA is settings.policy.backend
    login = PasswordLogin(
        auth_url="https://192.0.2.9:5000/v3",
        username="hamon",
        password_file=path.parent / "secret",
        project="service",
    )
    assert NovaSettings(login=login, interface="internal") == settings.nova
    assert "correct horse" not in repr(settings)


def test_load__application_credential__is_a_login(write: Write) -> None:
    """With everything that both ways may say."""
    path = write(f'{CREDENTIAL}region = "north"\ninterface = "public"\nthreads = 4\n')

    assert load(path).nova == NovaSettings(
        login=ApplicationCredential(
            auth_url="https://192.0.2.9:5000/v3", id="0af1", secret_file=path.parent / "secret"
        ),
        region="north",
        interface="public",
        threads=4,
    )


def test_load__cloud__leaves_to_its_entry_what_is_not_written(write: Write) -> None:
    """The default of interface is that of a catalog, not an order to the entry."""
    path = write(CLOUD)

    entry = CloudEntry(name="site", clouds_file=path.parent / "clouds.yaml")
    assert NovaSettings(login=entry) == load(path).nova


def test_load__libvirt__has_no_nova(write: Write) -> None:
    """Without a word about it, a cluster is one of plain libvirt."""
    settings = load(write("", main=MAIN.replace('backend = "nova"\n', "")))

    assert (Backend.LIBVIRT, None) == (settings.policy.backend, settings.nova)


@pytest.mark.parametrize(
    ("nova", "words"),
    [
        ("", ['cluster.backend: "nova" needs a table [nova]']),
        ("[nova]\n", ["nova.cloud: is missing; set it, or auth_url with username"]),
        ('[nova]\nregion = "x"\n', ["nova.cloud: is missing"]),
        ('[nova]\nclouds_file = "x"\n', ["nova.cloud: is missing: clouds_file does not say"]),
        (
            f'{CLOUD}username = "x"\nuser_domain = "y"\n',
            ["nova.username: cannot stand beside nova.cloud", "nova.user_domain: cannot stand"],
        ),
        (f'{CLOUD}application_credential_id = "x"\n', ["credential_id: cannot stand beside"]),
        (f'{PASSWORD}clouds_file = "x"\n', ["nova.clouds_file: is only read for nova.cloud"]),
        (
            f'{CREDENTIAL}username = "x"\nproject_domain = "y"\n',
            [
                "nova.username: cannot stand beside nova.application_credential_id",
                "nova.project_domain: cannot stand beside",
            ],
        ),
        (
            without("auth_url", PASSWORD),
            ["nova.auth_url: is missing: a login with a password needs auth_url, username and"],
        ),
        (without("username", PASSWORD), ["nova.username: is missing: a login with a password"]),
        (without("password_file", PASSWORD), ["nova.password_file: is missing"]),
        (without("project", PASSWORD), ["nova.project: is missing"]),
        (
            without("auth_url", CREDENTIAL),
            ["nova.auth_url: is missing: an application credential needs"],
        ),
        (without("application_credential_id", CREDENTIAL), ["credential_id: is missing"]),
        (
            without("application_credential_secret_file", CREDENTIAL),
            ["nova.application_credential_secret_file: is missing"],
        ),
        (
            f"{PASSWORD}request_timeout_s = 90\n",
            ["nova.request_timeout_s: 90 > call_timeout_s 60", "90 - 60 = 30"],
        ),
        (PASSWORD.replace("https://", ""), ["nova.auth_url", "write a whole URL"]),
        (f'{PASSWORD}endpoint_override = "nova:8774"\n', ["nova.endpoint_override", "whole URL"]),
        (f'{PASSWORD}interface = "internalURL"\n', ["nova.interface", "'public', 'internal'"]),
        (f"{PASSWORD}threads = 0\n", ["nova.threads: 0"]),
        (f'{PASSWORD}user_domain = ""\n', ["nova.user_domain"]),
        (f'{PASSWORD}ca_file = "gone.pem"\n', ["nova.ca_file", "gone.pem is no file"]),
        (f'{PASSWORD}password = "hunter2hunter2"\n', ["nova.password: no such key"]),
        (f"{CREDENTIAL}application_credential_secret = 2\n", ["no such key; did you mean nova."]),
        (PASSWORD.replace('"secret"', '"gone"'), ["nova.password_file", "gone", "No such file"]),
        (
            CREDENTIAL.replace('"secret"', '"gone"'),
            ["nova.application_credential_secret_file", "No such file"],
        ),
        (CLOUD.replace("clouds.yaml", "gone"), ["nova.cloud", "gone", "No such file"]),
        (
            CLOUD.replace("site", "sight"),
            ["clouds.sight: no such cloud; there are: bare, limited, odd, remote, site"],
        ),
        (CLOUD.replace("site", "bare"), ["clouds.bare.auth: auth_type password needs password"]),
        (CLOUD.replace("site", "remote"), ["clouds.remote.profile: hamon fetches no profile"]),
        (CLOUD.replace("site", "odd"), ["clouds.odd: is not written as openstacksdk expects"]),
        (f'{CLOUD}region = "south"\n', ["clouds.site: Region south is not a valid region"]),
    ],
)
def test_check__half_a_way_to_nova_or_two__says_which_key(
    write: Write, nova: str, words: list[str]
) -> None:
    """Nobody has to guess as whom hamon would act."""
    findings = told(write(nova))

    assert [word for word in words if word not in findings] == [], findings
    for secret in ("hunter2", "correct horse", "tr0ub4dor"):
        assert secret not in findings


def test_check__way_that_is_whole__has_no_findings(write: Write) -> None:
    """The tables that the refusals start from are themselves right."""
    path = write()
    findings = []
    for table in (PASSWORD, CREDENTIAL, CLOUD, CLOUD.replace("site", "limited")):
        path.write_text(MAIN + table)
        findings.append(told(path))

    assert ["", "", "", ""] == findings


def test_check__nova_in_a_cluster_of_libvirt__is_refused(write: Write) -> None:
    """A table that nothing reads is a misunderstanding."""
    findings = told(write(main=MAIN.replace('"nova"', '"libvirt"')))

    assert 'nova: is not used with cluster.backend = "libvirt"' in findings


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("clouds: [", "is not YAML"),
        ("- site\n", "not a valid mapping"),
        ("clouds:\n  x: {}\n", "no such cloud; there are: x"),
    ],
)
def test_check__file_that_is_no_clouds_yaml__says_so(
    write: Write, content: str, words: str
) -> None:
    """Not an entry of that name, because nothing could be read, is told apart."""
    path = write(CLOUD)
    (path.parent / "clouds.yaml").chmod(0o600)
    (path.parent / "clouds.yaml").write_text(content)

    assert words in told(path)


def test_check__clouds_yaml_open_to_others__is_refused(write: Write) -> None:
    """There is a password in it."""
    path = write(CLOUD)
    (path.parent / "clouds.yaml").chmod(0o644)

    assert "lets others at this secret; run: chmod 0400 clouds.yaml" in told(path)


def test_access__entry__has_region_authorities_and_a_secret_no_log_shows(write: Write) -> None:
    """What every other client reads there holds for hamon too, but for the usual interface."""
    file = write(CLOUD).parent / "clouds.yaml"

    access = access_of(CloudEntry(name="site", clouds_file=file))

    assert isinstance(access.auth, Password)
    assert ("north", "internal", "") == (access.region, access.interface, access.endpoint_override)
    assert "/etc/ssl/site.pem" == access.verify
    assert REDACTED == REDACTOR.clean("tr0ub4dor-of-the-entry")


def test_access__entry_of_another_kind__is_as_it_says(write: Write) -> None:
    """Any kind of login that openstacksdk knows; its secret is known by its own name."""
    file = write(CLOUD).parent / "clouds.yaml"

    access = access_of(CloudEntry(name="limited", clouds_file=file))

    assert isinstance(access.auth, v3.ApplicationCredential)
    assert ("admin", False) == (access.interface, access.verify)
    assert "https://192.0.2.9:8774/v2.1" == access.endpoint_override
    assert REDACTED == REDACTOR.clean("another-secret-of-an-entry")


def test_access__environment__changes_nothing(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever starts hamon by hand with an open rc file acts as hamon, not as themselves."""
    file = write(CLOUD).parent / "clouds.yaml"
    (file.parent / "secure.yaml").write_text("clouds: {bare: {auth: {password: from-elsewhere}}}")
    for name in ("OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE", "OS_CLOUD"):
        monkeypatch.setenv(name, str(file.parent / "secure.yaml"))
    monkeypatch.setenv("OS_PASSWORD", "from-elsewhere")
    monkeypatch.setenv("OS_REGION_NAME", "elsewhere")

    assert "north" == access_of(CloudEntry(name="site", clouds_file=file)).region
    with pytest.raises(ConfigError, match=r"reads no secure\.yaml"):
        access_of(CloudEntry(name="bare", clouds_file=file))


def test_load__service_host__is_what_nova_calls_the_host(write: Write) -> None:
    """Nova's names are not ours to choose."""
    host = '[host."compute-2"]\nservice_host = "Rack2_C2.example.net"\n'

    hosts = load(write(hosts=host)).hosts

    assert ["", "Rack2_C2.example.net"] == [one.service_host for one in hosts]


@pytest.mark.parametrize(
    ("hosts", "words"),
    [
        (
            '[host."compute-2"]\nservice_host = "Compute-1"\n',
            [
                "host.compute-2.service_host: the service host Compute-1",
                "is already that of compute-1",
            ],
        ),
        ('[host."compute-2"]\nservice_host = "a/b"\n', ["host.compute-2.service_host"]),
    ],
)
def test_check__wrong_service_host__is_refused(write: Write, hosts: str, words: list[str]) -> None:
    """One nova-compute shut out for two hosts would take the wrong one's guests."""
    findings = told(write(hosts=hosts))

    assert [word for word in words if word not in findings] == [], findings


def test_check__service_host_in_a_cluster_of_libvirt__is_refused(write: Write) -> None:
    """There is no nova-compute that could have another name."""
    hosts = '[host."compute-2"]\nservice_host = "c2"\n'

    findings = told(write("", hosts=hosts, main=MAIN.replace('backend = "nova"\n', "")))

    assert "host.compute-2.service_host: is the name of a nova-compute" in findings
    assert 'cluster.backend = "libvirt"' in findings


BARE = """
[host."compute-2"]
agentless = true
zookeeper_password_file = ""
product_uuid = "6f1c2d34-5e67-489a-8bcd-ef0123456789"
"""


def test_load__agentless_host__has_no_identity(write: Write) -> None:
    """Nobody there would log in to ZooKeeper."""
    hosts = load(write(hosts=BARE)).hosts

    assert [False, True] == [host.agentless for host in hosts]
    assert "" == hosts[1].zookeeper_identity
    assert hosts[0].zookeeper_identity


@pytest.mark.parametrize(
    ("taken", "given", "words"),
    [
        ("product_uuid", "", ["host.compute-2.product_uuid: is missing", "dmidecode"]),
        ("zookeeper", "", ["zookeeper_password_file: the host is agentless", "[defaults]"]),
        (
            "none",
            'zookeeper_digest = "host-compute-2:JISA3NR15HUD7U6k7KMHYjJWGAo="\n',
            ["zookeeper_digest: the host is agentless and would never use it"],
        ),
    ],
)
def test_check__agentless_host_half_described__is_refused(
    write: Write, taken: str, given: str, words: list[str]
) -> None:
    """What its BMC answers for must be known; what nobody would use is a mistake."""
    findings = told(write(hosts=without(taken, BARE) + given))

    assert [word for word in words if word not in findings] == [], findings


def test_check__agentless_host_in_a_cluster_of_libvirt__is_refused(write: Write) -> None:
    """Without Nova nobody could speak for it."""
    findings = told(write("", hosts=BARE, main=MAIN.replace('backend = "nova"\n', "")))

    assert "host.compute-2.agentless: only Nova can speak for a host without an agent" in findings
