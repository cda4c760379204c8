"""How a compute host reaches ZooKeeper, and as whom."""

from __future__ import annotations

from hamon.agent.config import AgentConfig
from hamon.coordination.access import Identities, digest_of, host_user, subject_identity
from hamon.coordination.session import SessionCredentials, StoreSettings, TlsFiles


def store_settings(config: AgentConfig, resume: SessionCredentials | None = None) -> StoreSettings:
    """Return how this host's session is made.

    Args:
        config: the host's.
        resume: a session to go on with, None: a new one.

    Raises:
        ConfigError: the password cannot be read.
    """
    login = config.login
    tls = None
    if login.ca_file is not None:
        tls = TlsFiles(
            ca_file=login.ca_file,
            certificate_file=login.certificate_file,
            key_file=login.key_file,
        )
    return StoreSettings(
        servers=config.servers,
        chroot=f"/hamon/{config.cluster}",
        session_timeout_s=config.session_timeout_s,
        user="" if login.subject else host_user(config.host),
        password="" if login.subject else config.password(),
        tls=tls,
        resume=resume,
    )


def identities(config: AgentConfig) -> Identities:
    """Return whom the access rules of this host's own znodes name.

    Raises:
        ConfigError: the password cannot be read.
    """
    login = config.login
    if login.subject:
        own = subject_identity(login.subject)
    else:
        own = digest_of(host_user(config.host), config.password())
    controllers = login.controllers_digest or subject_identity(login.controllers_subject)
    return Identities(controllers=controllers, hosts={config.host: own})
