"""The programs of the lab's OpenStack: its control plane on one machine, nova-compute on hosts."""

import shlex
import sys
from pathlib import Path

from lab.names import PROJECT
from lab.openstack import configuration
from lab.service import Service

MARIADB, RABBITMQ, KEYSTONE = "mariadb", "rabbitmq", "keystone"
COMPUTE = "nova-compute"
# Not the one in /usr/sbin, which becomes another user.
RABBITMQ_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
SEEDED = "seeded"
FAULTS = Path("/run/lab/nova-faults.json")
"""What is to go wrong with calls to nova: see `lab.openstack.proxy`."""

_WSGI = Path(__file__).with_name("wsgi.py")
_FAKE_COMPUTE = Path(__file__).with_name("fake_compute.py")
# Small, and not durable: a lab's databases live on a tmpfs and are thrown away with it.
_MARIADB = """
mkdir -p /run/mysqld
test -d /var/lib/mysql/mysql || mariadb-install-db --user=root --datadir=/var/lib/mysql \
    --auth-root-authentication-method=normal --skip-test-db > /dev/null
exec mariadbd --no-defaults --user=root --datadir=/var/lib/mysql --socket=/run/mysqld/mysqld.sock \
    --bind-address=0.0.0.0 --skip-name-resolve --max-connections=500 --skip-log-bin \
    --innodb-buffer-pool-size=96M --innodb-log-file-size=16M --innodb-flush-log-at-trx-commit=0 \
    --character-set-server=utf8mb3 --collation-server=utf8mb3_general_ci
"""
# What systemd's units say by their order: nova-compute ends when libvirtd does not answer yet, and
# does not start when the gate before it fails or is stopped.
_LIBVIRT = "until virsh -q list > /dev/null 2>&1; do sleep 0.2; done\n"
_GATE = """\
gate=
trap 'kill $gate; exit 1' TERM
"$@" & gate=$!
wait $gate
trap - TERM
"""
_FOLDERS = "mkdir -p /run/nova /var/lib/nova\n"
# Behind the proxy that has the port which everybody knows.
_COMPUTE_TARGET_PORT = 18774
_APIS = (
    ("keystone", "keystone.wsgi.api", configuration.IDENTITY_PORT),
    ("placement", "placement.wsgi.api", configuration.PLACEMENT_PORT),
    ("glance", "glance.wsgi.api", configuration.IMAGE_PORT),
    ("neutron", "neutron.wsgi.api", configuration.NETWORK_PORT),
    ("nova-api", "nova.wsgi.osapi_compute", _COMPUTE_TARGET_PORT),
)


def is_seeded(machine_folder: Path) -> bool:
    """Whether a machine has its databases, so that the whole control plane can run."""
    return (machine_folder / SEEDED).exists()


def databases() -> Service:
    """The database server."""
    return Service(
        name=MARIADB, argv=("/bin/sh", "-ec", _MARIADB), environment=_PATHS, stop_timeout_s=20.0
    )


def identity(venv: Path) -> Service:
    """Keystone."""
    return _api(venv, *_APIS[0])


def control_plane(venv: Path) -> tuple[Service, ...]:
    """Everything that is not on a compute host, in the order of its start."""
    config = ("--config-file", "/etc/nova/nova.conf")
    return (
        databases(),
        Service(
            name=RABBITMQ,
            argv=(str(RABBITMQ_SERVER),),
            environment={
                "HOME": "/var/lib/rabbitmq",
                "RABBITMQ_NODENAME": "rabbit@localhost",
                "RABBITMQ_MNESIA_BASE": "/var/lib/rabbitmq/mnesia",
                "RABBITMQ_LOGS": "-",
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
            },
            stop_timeout_s=20.0,
        ),
        *(_api(venv, *api) for api in _APIS),
        Service(
            name="nova-proxy",
            argv=(
                *(sys.executable, "-m", "lab.openstack.proxy", str(configuration.COMPUTE_PORT)),
                *(str(_COMPUTE_TARGET_PORT), str(FAULTS)),
            ),
            environment={"PYTHONPATH": str(PROJECT)},
        ),
        *(
            Service(name=name, argv=(str(venv / "bin" / name), *config))
            for name in ("nova-conductor", "nova-scheduler")
        ),
    )


def compute(venv: Path, *, has_libvirt: bool, gate: tuple[str, ...]) -> Service:
    """nova-compute of one host.

    Args:
        venv: OpenStack's.
        has_libvirt: whether its guests run under libvirt.
        gate: a command that ends well when nova-compute may start; empty: it always may.
    """
    programs = venv / "bin"
    fake = (str(programs / "python"), str(_FAKE_COMPUTE))
    program = (str(programs / "nova-compute"),) if has_libvirt else fake
    run = shlex.join((*program, "--config-file", "/etc/nova/nova.conf"))
    before = (_LIBVIRT if has_libvirt else "") + (_GATE if gate else "")
    argv = ("/bin/sh", "-ec", f"{before}{_FOLDERS}exec {run}", "sh", *gate)
    return Service(name=COMPUTE, argv=argv, stop_timeout_s=20.0)


_PATHS = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


def _api(venv: Path, program: str, module: str, port: int) -> Service:
    folder = program.removesuffix("-api")
    return Service(
        name=program,
        argv=(str(venv / "bin" / "python"), str(_WSGI), program, module, str(port)),
        environment={
            f"OS_{folder.upper()}_CONFIG_DIR": f"/etc/{folder}",
            "OS_KEYSTONE_CONFIG_FILES": "/etc/keystone/keystone.conf",
        },
    )
