from typing import Any

from openstack.config.cloud_region import CloudRegion

class OpenStackConfig:
    config_filename: str | None
    cloud_config: dict[str, Any]
    def __init__(
        self,
        config_files: list[str] | None = ...,
        vendor_files: list[str] | None = ...,
        override_defaults: dict[str, Any] | None = ...,
        *,
        secure_files: list[str] | None = ...,
        load_envvars: bool = ...,
    ) -> None: ...
    def get_cloud_names(self) -> list[str]: ...
    def get_one(self, cloud: str | None = ..., *, region_name: str | None = ...) -> CloudRegion: ...
