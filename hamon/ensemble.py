"""How a controller reaches its ensemble: below which path, as whom, and how it is encrypted."""

from __future__ import annotations

from hamon.coordination.access import CONTROLLERS_USER, subject_identity
from hamon.coordination.session import StoreSettings, TlsFiles
from hamon.settings.secrets import read_secret, zookeeper_digest
from hamon.settings.values import Settings


def chroot_of(cluster: str) -> str:
    """Return the ZooKeeper path below which a cluster's znodes live."""
    return f"/hamon/{cluster}"


def store_settings(settings: Settings, chroot: str) -> StoreSettings:
    """Return how this controller connects to ZooKeeper.

    Raises:
        ConfigError: the password file cannot be used.
    """
    zookeeper = settings.zookeeper
    tls = None
    if zookeeper.ca_file is not None:
        tls = TlsFiles(
            ca_file=zookeeper.ca_file,
            certificate_file=zookeeper.certificate_file,
            key_file=zookeeper.key_file,
        )
    return StoreSettings(
        servers=zookeeper.servers,
        chroot=chroot,
        session_timeout_s=zookeeper.session_timeout_s,
        user=CONTROLLERS_USER if zookeeper.password_file is not None else "",
        password=read_secret(str(zookeeper.password_file)) if zookeeper.password_file else "",
        tls=tls,
    )


def controllers_identity(settings: Settings) -> str:
    """Return what access rules name the controllers by.

    Raises:
        ConfigError: the password file cannot be used.
    """
    zookeeper = settings.zookeeper
    if zookeeper.password_file is None:
        return subject_identity(zookeeper.controllers_subject)
    return zookeeper_digest(CONTROLLERS_USER, read_secret(str(zookeeper.password_file)))
