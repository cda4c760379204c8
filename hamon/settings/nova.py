"""``[nova]``: which of its keys belong together, and what they come to.

There are three ways to log in: an entry of a clouds.yaml, a user with a password, an application
credential. Half of one, or two at once, is refused: nobody could say as whom hamon would act.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from hamon.errors import ConfigError
from hamon.model.policy import Backend
from hamon.settings import arithmetic
from hamon.settings.clouds import access_of
from hamon.settings.document import Document, Key
from hamon.settings.schema import MainFile, NovaTable
from hamon.settings.secrets import read_secret
from hamon.settings.values import (
    ApplicationCredential,
    CloudEntry,
    NovaSettings,
    PasswordLogin,
)

_PASSWORD = ("username", "password_file", "project")
_DOMAINS = ("user_domain", "project_domain")
_CREDENTIAL = ("application_credential_id", "application_credential_secret_file")
_EXPLICIT = ("auth_url", *_PASSWORD, *_DOMAINS, *_CREDENTIAL)

Problem = tuple[Key, str]


def nova_settings(
    document: Document, file: MainFile, beside: Callable[[str], Path]
) -> tuple[NovaSettings | None, tuple[ConfigError, ...]]:
    """Check ``[nova]`` against the backend and against itself.

    Its secrets are read once, so that a bad one is found now, and is known to the log's redactor.

    Args:
        document: hamon.toml.
        file: its content.
        beside: makes a path absolute.

    Returns:
        The settings, None when there are none or they cannot be used, and all the errors.
    """
    table, backend = file.nova, file.cluster.backend
    if table is None:
        return None, tuple(document.error(*one) for one in _absent(backend))
    found = [*_unwanted(backend), *_ways(table)]
    found += arithmetic.cloud(table.request_timeout_s, table.call_timeout_s)
    if found:
        return None, tuple(document.error(*one) for one in found)
    settings = _settings(table, beside)
    found += _unreadable(settings)
    return settings, tuple(document.error(*one) for one in found)


def _absent(backend: Backend) -> Iterator[Problem]:
    if backend is Backend.NOVA:
        why = (
            f'"{backend}" needs a table [nova] that says how Nova is reached, and as whom; '
            "hamon.toml as shipped explains its keys"
        )
        yield ("cluster", "backend"), why


def _unwanted(backend: Backend) -> Iterator[Problem]:
    if backend is not Backend.NOVA:
        why = (
            f'is not used with cluster.backend = "{backend}", which asks no Nova: '
            'remove the table, or set backend = "nova"'
        )
        yield ("nova",), why


def _ways(table: NovaTable) -> Iterator[Problem]:
    """Say which keys are missing, or odd beside the others."""
    given = {key for key in table.model_fields_set if getattr(table, key)}
    explicit = [key for key in _EXPLICIT if key in given]
    if "cloud" in given:
        why = "cannot stand beside nova.cloud, whose entry says as whom hamon acts; remove one"
        yield from (_at(key, why) for key in explicit)
    elif not explicit:
        what = "clouds_file does not say which of its clouds" if "clouds_file" in given else ""
        yield _at(
            "cloud",
            f"is missing{what and ': '}{what}; set it, or auth_url with {', '.join(_PASSWORD)}, "
            f"or auth_url with {', '.join(_CREDENTIAL)}",
        )
    else:
        yield from _explicit_ways(given)


def _explicit_ways(given: set[str]) -> Iterator[Problem]:
    if "clouds_file" in given:
        yield _at("clouds_file", "is only read for nova.cloud; remove it, or say which cloud")
    user = [key for key in (*_PASSWORD, *_DOMAINS) if key in given]
    credential = [key for key in _CREDENTIAL if key in given]
    if user and credential:
        why = (
            f"cannot stand beside nova.{credential[0]}: an application credential has its own "
            "user and project; remove one"
        )
        yield from (_at(key, why) for key in user)
        return
    way, keys = (
        ("an application credential", _CREDENTIAL)
        if credential
        else ("a login with a password", _PASSWORD)
    )
    for key in ("auth_url", *keys):
        if key not in given:
            yield _at(key, f"is missing: {way} needs auth_url, {' and '.join(keys)}")


def _settings(table: NovaTable, beside: Callable[[str], Path]) -> NovaSettings:
    # What the entry of a cloud says holds unless the operator has written something else here.
    is_default = table.cloud and "interface" not in table.model_fields_set
    return NovaSettings(
        login=_login(table, beside),
        region=table.region,
        interface="" if is_default else table.interface,
        endpoint_override=table.endpoint_override,
        ca_file=beside(table.ca_file) if table.ca_file else None,
        request_timeout_s=table.request_timeout_s,
        call_timeout_s=table.call_timeout_s,
        threads=table.threads,
    )


def _login(
    table: NovaTable, beside: Callable[[str], Path]
) -> PasswordLogin | ApplicationCredential | CloudEntry:
    if table.cloud:
        return CloudEntry(name=table.cloud, clouds_file=beside(table.clouds_file))
    if table.application_credential_id:
        return ApplicationCredential(
            auth_url=table.auth_url,
            id=table.application_credential_id,
            secret_file=beside(table.application_credential_secret_file),
        )
    return PasswordLogin(
        auth_url=table.auth_url,
        username=table.username,
        password_file=beside(table.password_file),
        project=table.project,
        user_domain=table.user_domain,
        project_domain=table.project_domain,
    )


def _unreadable(settings: NovaSettings) -> Iterator[Problem]:
    """Read every file that is named here once."""
    if settings.ca_file is not None and not settings.ca_file.is_file():
        yield _at("ca_file", f"{settings.ca_file} is no file; name the authority's certificate")
    key = "cloud"
    try:
        match settings.login:
            case CloudEntry():
                access_of(settings.login, settings.region)
            case PasswordLogin():
                key = "password_file"
                read_secret(str(settings.login.password_file))
            case ApplicationCredential():
                key = "application_credential_secret_file"
                read_secret(str(settings.login.secret_file))
    except ConfigError as error:
        yield _at(key, str(error))


def _at(key: str, why: str) -> Problem:
    return ("nova", key), why
