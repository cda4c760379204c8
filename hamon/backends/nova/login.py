"""From ``[nova]`` to what keystoneauth takes: as whom, where to, and whom to trust."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from keystoneauth1.identity import v3

from hamon.settings.clouds import CloudAccess, access_of
from hamon.settings.secrets import read_secret
from hamon.settings.values import (
    ApplicationCredential,
    CloudEntry,
    NovaSettings,
    PasswordLogin,
)


def access(settings: NovaSettings) -> CloudAccess:
    """Read the secrets and put together how Nova is reached. Asks no network.

    Raises:
        ConfigError: a secret, or the entry of the cloud, cannot be read.
    """
    found = _logged_in(settings)
    return replace(
        found,
        region=settings.region or found.region,
        interface=settings.interface or found.interface,
        endpoint_override=settings.endpoint_override or found.endpoint_override,
        verify=found.verify if settings.ca_file is None else str(settings.ca_file),
    )


def _logged_in(settings: NovaSettings) -> CloudAccess:
    login = settings.login
    match login:
        case CloudEntry():
            return access_of(login, settings.region)
        case ApplicationCredential():
            return CloudAccess(
                auth=v3.ApplicationCredential(
                    auth_url=login.auth_url,
                    application_credential_id=login.id,
                    application_credential_secret=read_secret(str(login.secret_file)),
                )
            )
        case PasswordLogin():
            return CloudAccess(
                auth=v3.Password(
                    auth_url=login.auth_url,
                    username=login.username,
                    password=read_secret(str(login.password_file)),
                    project_name=login.project,
                    user_domain_name=login.user_domain,
                    project_domain_name=login.project_domain,
                )
            )
    assert_never(login)
