"""The configuration of the lab's OpenStack: one control plane, and nova-compute on each host.

The control plane is reached by the name `cloud` from every machine of its lab, so what is in the
databases (endpoints, cells) is the same in each lab and can be kept between them.
"""

import shutil
from pathlib import Path

from lab.names import SHARED_STORAGE, Layout, MachineName, Plane
from lab.topology import Computes, Driver

CLOUD = "cloud"
USER = "lab"
DATABASES = ("keystone", "placement", "glance", "neutron", "nova_api", "nova_cell0", "nova")
IDENTITY_PORT, COMPUTE_PORT, PLACEMENT_PORT = 5000, 8774, 8778
IMAGE_PORT, NETWORK_PORT = 9292, 9696
AUTH_URL = f"http://{CLOUD}:{IDENTITY_PORT}/v3"
INSTANCES = SHARED_STORAGE / "instances"

# Nova's own verdict on a service comes quickly in a lab (lab.md).
REPORT_INTERVAL_S, SERVICE_DOWN_S, RPC_TIMEOUT_S = 2, 8, 30

_AUTH = """\
auth_url = {auth_url}
auth_type = password
username = {service}
password = {password}
project_name = service
project_domain_name = Default
user_domain_name = Default
"""
_TOKENS = """\
[keystone_authtoken]
www_authenticate_uri = {auth_url}
service_token_roles_required = true
{auth}
"""

_KEYSTONE = """\
[DEFAULT]
log_file =
[database]
connection = {keystone}
[token]
provider = fernet
expiration = 3600
[fernet_tokens]
key_repository = /etc/keystone/fernet-keys
[credential]
key_repository = /etc/keystone/credential-keys
"""

_PLACEMENT = """\
[placement_database]
connection = {placement}
[api]
auth_strategy = keystone
"""

_GLANCE = """\
[DEFAULT]
enabled_backends = files:file
transport_url = {transport}
[database]
connection = {glance}
[glance_store]
default_backend = files
[files]
filesystem_store_datadir = /var/lib/glance/images
[os_glance_staging_store]
filesystem_store_datadir = /var/lib/glance/staging
[os_glance_tasks_store]
filesystem_store_datadir = /var/lib/glance/tasks
[paste_deploy]
flavor = keystone
config_file = {venv}/etc/glance/glance-api-paste.ini
"""

_NEUTRON = """\
[DEFAULT]
core_plugin = ml2
service_plugins = router
auth_strategy = keystone
transport_url = {transport}
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
[database]
connection = {neutron}
[oslo_concurrency]
lock_path = /run/neutron
"""
_ML2 = """\
[ml2]
type_drivers = local
tenant_network_types = local
mechanism_drivers =
"""

# Of the control plane and of the computes; the computes must know no database.
_NOVA = """\
[DEFAULT]
transport_url = {transport}
state_path = /var/lib/nova
my_ip = {address}
report_interval = {report}
service_down_time = {down}
rpc_response_timeout = {rpc}
rootwrap_config = {venv}/etc/nova/rootwrap.conf
[oslo_concurrency]
lock_path = /run/nova
[vnc]
enabled = false
[glance]
api_servers = http://{cloud}:{image_port}
[service_user]
send_service_user_token = true
{nova_auth}
[placement]
{placement_auth}
[neutron]
{neutron_auth}
"""
_NOVA_CONTROL = """\
[api_database]
connection = {nova_api}
[database]
connection = {nova}
[api]
auth_strategy = keystone
[scheduler]
workers = 1
discover_hosts_in_cells_interval = 2
[conductor]
workers = 1
[filter_scheduler]
enabled_filters = ComputeFilter,ComputeCapabilitiesFilter,ServerGroupAntiAffinityFilter,\
ServerGroupAffinityFilter
"""
# The lab's guests do not hear that they are to shut down.
_NOVA_COMPUTE = """\
[DEFAULT]
host = {host}
vif_plugging_is_fatal = false
vif_plugging_timeout = 0
shutdown_timeout = 1
resume_guests_state_on_host_boot = false
[compute]
resource_provider_association_refresh = 300
"""
# The fake driver that keeps its node's uuid over a restart; its guests it does not keep.
_FAKE_DRIVER = """\
[DEFAULT]
compute_driver = fake.FakeDriverWithoutFakeNodes
"""
_LIBVIRT_DRIVER = """\
[DEFAULT]
compute_driver = libvirt.LibvirtDriver
instances_path = {instances}
force_raw_images = false
use_cow_images = false
[libvirt]
virt_type = {accelerator}
cpu_mode = none
images_type = raw
[nova_sys_admin]
helper_command = {privsep}
[vif_plug_ovs_privileged]
helper_command = {privsep}
[vif_plug_linux_bridge_privileged]
helper_command = {privsep}
[privsep_osbrick]
helper_command = {privsep}
"""


def write_names(etc: Path, layout: Layout, cloud: MachineName) -> None:
    """Let a machine find the control plane by its name."""
    address = layout.address(cloud, Plane.MANAGEMENT)
    (etc / "hosts").write_text(f"127.0.0.1 localhost\n{address} {CLOUD}\n")


def write_control_plane(
    etc: Path, layout: Layout, machine: MachineName, venv: Path, password: str
) -> None:
    """Write the configuration of every service of the control plane.

    Args:
        etc: the machine's /etc.
        layout: names of the lab.
        machine: where the control plane runs.
        venv: OpenStack's.
        password: of every service user, of the database and of RabbitMQ.
    """
    write_names(etc, layout, machine)
    values = _values(venv, password)
    _write(etc / "keystone" / "keystone.conf", _KEYSTONE, values)
    for service, text in (("placement", _PLACEMENT), ("glance", _GLANCE), ("neutron", _NEUTRON)):
        name = "glance-api" if service == "glance" else service
        _write(etc / service / f"{name}.conf", text, values, _tokens(service, password))
    _write(etc / "neutron" / "plugins" / "ml2" / "ml2_conf.ini", _ML2, values)
    values["address"] = layout.address(machine, Plane.MANAGEMENT)
    for service in ("nova", "neutron"):
        # They look for it beside their configuration.
        (etc / service).mkdir(exist_ok=True)
        shutil.copy(venv / "etc" / service / "api-paste.ini", etc / service)
    _write(etc / "nova" / "nova.conf", _NOVA + _NOVA_CONTROL, values, _tokens("nova", password))
    _write(
        etc / "rabbitmq" / "rabbitmq.conf",
        "listeners.tcp.default = 5672\nloopback_users = none\n"
        "default_user = {user}\ndefault_pass = {password}\n",
        values,
    )


def write_compute(
    etc: Path,
    layout: Layout,
    machines: tuple[MachineName, MachineName],
    venv: Path,
    password: str,
    accelerator: str,
    computes: Computes,
) -> None:
    """Write the configuration of nova-compute.

    Args:
        etc: the host's /etc.
        layout: names of the lab.
        machines: the host, and where the control plane runs.
        venv: OpenStack's.
        password: of every service user and of RabbitMQ.
        accelerator: libvirt's domain type.
        computes: what its service is called, and what runs its guests.
    """
    host, cloud = machines
    write_names(etc, layout, cloud)
    values = _values(venv, password) | {
        "address": layout.address(host, Plane.MANAGEMENT),
        "host": computes.service_host(host),
        "accelerator": accelerator,
        "instances": str(INSTANCES),
        "privsep": f"{venv}/bin/privsep-helper --config-file /etc/nova/nova.conf",
    }
    driver = _LIBVIRT_DRIVER if computes.driver is Driver.LIBVIRT else _FAKE_DRIVER
    text = _NOVA + _NOVA_COMPUTE + driver
    _write(etc / "nova" / "nova.conf", text, values, _tokens("nova", password))


def _values(venv: Path, password: str) -> dict[str, object]:
    login = f"{USER}:{password}@{CLOUD}"
    values: dict[str, object] = {
        name: f"mysql+pymysql://{login}/{name}?charset=utf8" for name in DATABASES
    }
    values |= {f"{s}_auth": _auth(s, password) for s in ("nova", "placement", "neutron")}
    return values | {
        "venv": venv,
        "user": USER,
        "password": password,
        "cloud": CLOUD,
        "image_port": IMAGE_PORT,
        "transport": f"rabbit://{login}:5672/",
        "report": REPORT_INTERVAL_S,
        "down": SERVICE_DOWN_S,
        "rpc": RPC_TIMEOUT_S,
    }


def _auth(service: str, password: str) -> str:
    return _AUTH.format(auth_url=AUTH_URL, service=service, password=password)


def _tokens(service: str, password: str) -> str:
    return _TOKENS.format(auth_url=AUTH_URL, auth=_auth(service, password))


def _write(file: Path, template: str, values: dict[str, object], more: str = "") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(template.format(**values) + more)
