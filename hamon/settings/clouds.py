"""An entry of a clouds.yaml, read by openstacksdk: the library that every other client uses.

Only the file that was named is read: no environment variable, no other folder, no secure.yaml, and
no profile from the network could change as whom hamon acts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hamon.errors import ConfigError
from hamon.settings.secrets import check_secret_file, keep_out_of_logs
from hamon.settings.values import CloudEntry

if TYPE_CHECKING:
    from keystoneauth1.plugin import BaseAuthPlugin
    from openstack.config.cloud_region import CloudRegion
    from openstack.config.loader import OpenStackConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudAccess:
    """What keystoneauth needs to reach Nova.

    ``auth`` has asked for nothing yet. ``interface``: one, or several in the order of preference.
    ``verify``: whether TLS is checked, or the file of the authorities. ``certificate``: of the
    client, with its key when that is a file of its own; None: none.
    """

    auth: BaseAuthPlugin
    region: str = ""
    interface: str | tuple[str, ...] = "internal"
    endpoint_override: str = ""
    verify: bool | str = True
    certificate: str | tuple[str, str] | None = None


def access_of(entry: CloudEntry, region: str = "") -> CloudAccess:
    """Read an entry; its secrets are kept out of the logs from now on. Asks no network.

    Args:
        entry: which one, of which file.
        region: one of the entry's regions, "": its first.

    Raises:
        ConfigError: the file is missing, open to others or no clouds.yaml, it has no such entry, or
            the entry says not enough; or openstacksdk is not installed.
    """
    path = str(entry.clouds_file)
    check_secret_file(path)
    # Here, because it takes half a second, and only who names a cloud needs it.
    try:
        import keystoneauth1.exceptions  # noqa: PLC0415
        import openstack.exceptions  # noqa: PLC0415
    except ImportError as error:
        why = "an entry of a clouds.yaml is read by openstacksdk; install hamon[nova]"
        raise ConfigError(path, "", why) from error
    try:
        found = _region(entry, region)
        interface = found.get_interface("compute") or "internal"
    except (openstack.exceptions.SDKException, keystoneauth1.exceptions.ClientException) as error:
        raise ConfigError(path, f"clouds.{entry.name}", str(error)) from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        # `from None`, and nothing of it said: it may carry parts of the entry.
        why = f"is not written as openstacksdk expects it ({type(error).__name__})"
        raise ConfigError(path, f"clouds.{entry.name}", why) from None
    verify, certificate = found.get_requests_verify_args()
    return CloudAccess(
        auth=found.get_auth(),
        region=found.get_region_name("compute") or "",
        interface=interface if isinstance(interface, str) else tuple(interface),
        endpoint_override=found.get_endpoint("compute") or "",
        verify=verify,
        certificate=certificate,
    )


def _region(entry: CloudEntry, region: str) -> CloudRegion:
    """Have openstacksdk read the entry.

    Raises:
        ConfigError: see :func:`access_of`.
    """
    from openstack.config.loader import OpenStackConfig  # noqa: PLC0415 - see access_of

    path = str(entry.clouds_file)
    config = OpenStackConfig(
        config_files=[path],
        secure_files=[],
        vendor_files=[],
        load_envvars=False,
        # Where the entry says nothing, as where there is none.
        override_defaults={"interface": "internal"},
    )
    if config.config_filename is None:
        raise ConfigError(path, "", "is not YAML; write a table `clouds` with an entry for each")
    clouds = config.get_cloud_names()
    if entry.name not in clouds:
        why = f"no such cloud; there are: {', '.join(sorted(map(str, clouds)))}"
        raise ConfigError(path, f"clouds.{entry.name}", why)
    _refuse_remote_profile(config, entry)
    found = config.get_one(entry.name, region_name=region or None)
    _keep_secrets(entry, found)
    return found


def _refuse_remote_profile(config: OpenStackConfig, entry: CloudEntry) -> None:
    written = config.cloud_config["clouds"][entry.name]
    for key in ("profile", "cloud"):
        if urlsplit(str(written.get(key, ""))).netloc:
            why = "hamon fetches no profile from the network: write what it says into the entry"
            raise ConfigError(str(entry.clouds_file), f"clouds.{entry.name}.{key}", why)


def _keep_secrets(entry: CloudEntry, region: CloudRegion) -> None:
    """Keep what this kind of login calls secret out of the logs; refuse it when there is nothing.

    Raises:
        ConfigError: there is no secret, or one is too short.
    """
    from keystoneauth1 import loading  # noqa: PLC0415 - see access_of

    auth, kind = region.config["auth"], region.config["auth_type"]
    names = [
        option.dest for option in loading.get_plugin_loader(kind).get_options() if option.secret
    ]
    secrets = [str(auth[name]) for name in names if auth.get(name)]
    if names and not secrets:
        why = (
            f"auth_type {kind} needs {' or '.join(sorted(names))} in this entry; "
            "hamon reads no secure.yaml and no environment variable"
        )
        raise ConfigError(str(entry.clouds_file), f"clouds.{entry.name}.auth", why)
    for secret in secrets:
        keep_out_of_logs(str(entry.clouds_file), secret)
