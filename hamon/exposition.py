"""Puts pages, certificate and endpoint together as configured; for daemon and agent alike."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry

from hamon.metrics.certificate import Certificate
from hamon.metrics.endpoint import Endpoint
from hamon.metrics.pages import Check, Pages
from hamon.settings.metrics import MetricsSettings
from hamon.settings.secrets import Password


def serve_metrics(
    registry: CollectorRegistry,
    settings: MetricsSettings,
    *,
    config_path: str,
    is_healthy: Check,
    is_ready: Check,
    on_trouble: Callable[[str], None],
) -> Endpoint:
    """Serve a registry from now on; close what is returned to end it.

    Args:
        registry: what is served.
        settings: where, with which certificate, and to whom.
        config_path: file named when something of it cannot be used.
        is_healthy: answers ``/healthz``; asked on threads of the endpoint's own.
        is_ready: answers ``/readyz``.
        on_trouble: told, on a thread of the endpoint's, why a rotated certificate is not used.

    Raises:
        ConfigError: the port is taken, or a file cannot be used.
    """
    certificate = None
    if settings.certificate_file is not None and settings.key_file is not None:
        certificate = Certificate(
            settings.certificate_file,
            settings.key_file,
            on_trouble,
        )
    password = Password(str(settings.password_file or ""))
    # Now rather than at the first request.
    password()
    pages = Pages(
        registry,
        is_healthy=is_healthy,
        is_ready=is_ready,
        username=settings.username,
        password=password,
    )
    return Endpoint(
        pages,
        settings.address,
        settings.port,
        config_path=config_path,
        security=certificate.context if certificate is not None else None,
    )
