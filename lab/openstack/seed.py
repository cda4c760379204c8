"""Databases with everything that is the same in each lab: made once, kept, unpacked after that."""

import secrets
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.machine import Machine
from lab.names import LabError
from lab.openstack import configuration, identity, programs
from lab.openstack.api import Api, without_password
from lab.openstack.configuration import CLOUD, DATABASES, USER
from lab.openstack.venv import OPENSTACK
from lab.processes import run, wait_until

READY_TIMEOUT_S = 60.0
SYNC_TIMEOUT_S = 300.0
_KEPT = (
    "var-lib/upper/mysql",
    "etc/upper/keystone/fernet-keys",
    "etc/upper/keystone/credential-keys",
)


def password() -> str:
    """The password of every user of this set of databases; made once."""
    file = OPENSTACK.folder() / "password"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(12))
    return file.read_text()


def unpack(cloud: Machine) -> bool:
    """Give a machine that is off the kept databases; False: there are none yet."""
    if not _archive().exists():
        return False
    run(["tar", "-xf", str(_archive()), "-C", str(cloud.folder)], deadline_s=120.0)
    _mark(cloud)
    return True


def make(cloud: Machine, venv: Path) -> None:
    """Make the databases on a machine that has none, keep them, and switch it off.

    Raises:
        LabError: a step failed; with what it printed, without the password.
    """
    try:
        _make(cloud, venv)
    except LabError as error:
        # Commands and what they print name it, and errors end up in logs.
        raise LabError(without_password(str(error), password())) from None


def _make(cloud: Machine, venv: Path) -> None:
    cloud.power_on()
    wait_until(lambda: _answers(cloud), "MariaDB", READY_TIMEOUT_S)
    _sql(cloud, "".join(f"CREATE DATABASE {name};" for name in DATABASES))
    grant = f"GRANT ALL ON *.* TO '{USER}'@'%' IDENTIFIED BY '{password()}';"
    _sql(cloud, f"{grant} FLUSH PRIVILEGES;")
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda steps: _follow(cloud, steps), _schemas(venv)))
    cloud.stop_service(programs.KEYSTONE)
    cloud.start_service(programs.KEYSTONE)
    api = Api(cloud, password())
    wait_until(api.is_answered, "keystone", READY_TIMEOUT_S)
    identity.fill(api, password())
    cloud.shut_down()
    new = _archive().with_suffix(".new")
    run(["tar", "-cf", str(new), "-C", str(cloud.folder), *_KEPT], deadline_s=120.0)
    new.rename(_archive())
    _mark(cloud)


def _mark(cloud: Machine) -> None:
    (cloud.folder / programs.SEEDED).touch()


def _archive() -> Path:
    return OPENSTACK.folder() / "databases.tar"


def _answers(cloud: Machine) -> bool:
    argv = cloud.exec_argv(["mariadb", "--socket=/run/mysqld/mysqld.sock", "-e", "SELECT 1"])
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def _sql(cloud: Machine, statements: str) -> None:
    cloud.run(["mariadb", "--socket=/run/mysqld/mysqld.sock"], text=statements)


def _follow(cloud: Machine, steps: tuple[tuple[str, ...], ...]) -> None:
    for step in steps:
        cloud.run(list(step), deadline_s=SYNC_TIMEOUT_S)


def _schemas(venv: Path) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """The commands that make each service's tables; services do not depend on each other."""

    def program(name: str, *arguments: str) -> tuple[str, ...]:
        return (str(venv / "bin" / name), *arguments)

    keystone = ("--config-file", "/etc/keystone/keystone.conf")
    as_root = ("--keystone-user", "root", "--keystone-group", "root")
    url = configuration.AUTH_URL
    endpoints = [f"--bootstrap-{kind}-url={url}" for kind in ("admin", "internal", "public")]
    nova = ("--config-file", "/etc/nova/nova.conf")
    login = f"{USER}:{password()}@{CLOUD}"
    database = f"mysql+pymysql://{login}/nova"
    return (
        (
            program("keystone-manage", *keystone, "db_sync"),
            program("keystone-manage", *keystone, "fernet_setup", *as_root),
            program("keystone-manage", *keystone, "credential_setup", *as_root),
            program(
                "keystone-manage",
                *keystone,
                "bootstrap",
                f"--bootstrap-password={password()}",
                f"--bootstrap-region-id={identity.REGION}",
                *endpoints,
            ),
        ),
        (
            program(
                "placement-manage", "--config-file", "/etc/placement/placement.conf", "db", "sync"
            ),
            program("glance-manage", "--config-file", "/etc/glance/glance-api.conf", "db_sync"),
        ),
        (
            program(
                "neutron-db-manage",
                "--config-file",
                "/etc/neutron/neutron.conf",
                "upgrade",
                "heads",
            ),
        ),
        (
            program("nova-manage", *nova, "api_db", "sync"),
            program(
                "nova-manage",
                *nova,
                "cell_v2",
                "map_cell0",
                "--database_connection",
                f"{database}_cell0?charset=utf8",
            ),
            program(
                "nova-manage",
                *nova,
                "cell_v2",
                "create_cell",
                "--name",
                "cell1",
                "--database_connection",
                f"{database}?charset=utf8",
                "--transport-url",
                f"rabbit://{login}:5672/",
            ),
            program("nova-manage", *nova, "db", "sync"),
        ),
    )
