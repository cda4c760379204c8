"""Who and what the lab's keystone knows: service users, services and their endpoints."""

from lab.openstack import configuration
from lab.openstack.api import Api
from lab.openstack.configuration import CLOUD, IDENTITY_PORT

REGION = "RegionOne"
ADMIN = "admin"
"""The bootstrapped administrator, and the project it works in."""

_SERVICES = (
    ("nova", "compute", f"http://{CLOUD}:{configuration.COMPUTE_PORT}/v2.1"),
    ("placement", "placement", f"http://{CLOUD}:{configuration.PLACEMENT_PORT}"),
    ("glance", "image", f"http://{CLOUD}:{configuration.IMAGE_PORT}"),
    ("neutron", "network", f"http://{CLOUD}:{configuration.NETWORK_PORT}"),
)


def fill(admin: Api, password: str) -> None:
    """Add to a bootstrapped keystone what the other services need.

    Args:
        admin: calls of the bootstrapped administrator.
        password: of every service user.

    Raises:
        LabError: keystone refuses.
    """

    def post(path: str, kind: str, **value: object) -> str:
        made = admin.call(IDENTITY_PORT, "POST", f"/v3/{path}", {kind: value})
        return str(made[kind]["id"])

    roles = {
        str(role["name"]): str(role["id"])
        for role in admin.call(IDENTITY_PORT, "GET", "/v3/roles")["roles"]
    }
    project = post("projects", "project", name="service", domain_id="default")
    for name, kind, url in _SERVICES:
        user = post("users", "user", name=name, password=password, domain_id="default")
        for role in ("admin", "service"):
            path = f"/v3/projects/{project}/users/{user}/roles/{roles[role]}"
            admin.call(IDENTITY_PORT, "PUT", path)
        service = post("services", "service", name=name, type=kind)
        for interface in ("public", "internal", "admin"):
            post(
                "endpoints",
                "endpoint",
                service_id=service,
                interface=interface,
                url=url,
                region_id=REGION,
            )
