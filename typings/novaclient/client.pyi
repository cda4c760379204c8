from keystoneauth1.session import Session
from novaclient.v2.client import Client as ClientV2

def Client(
    version: str,
    *,
    session: Session,
    region_name: str | None = ...,
    endpoint_type: str | tuple[str, ...] = ...,
    endpoint_override: str | None = ...,
    connect_retries: int = ...,
    status_code_retries: int = ...,
) -> ClientV2: ...
