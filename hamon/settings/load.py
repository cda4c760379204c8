"""From hamon.toml and hosts.d to :class:`Settings`: all of it is right, or nothing is used."""

from __future__ import annotations

import dataclasses
import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path

from hamon.errors import ConfigError
from hamon.model.names import ControllerId, is_name
from hamon.model.policy import Policy
from hamon.settings import arithmetic, fleet
from hamon.settings.document import Document, validated
from hamon.settings.files import check_authorities
from hamon.settings.hosts import HostEntry, load_hosts
from hamon.settings.metrics import MetricsSettings
from hamon.settings.nova import nova_settings
from hamon.settings.schema import MainFile
from hamon.settings.secrets import check_secret_file, read_secret
from hamon.settings.values import (
    KdumpSettings,
    LogSettings,
    NovaSettings,
    Settings,
    StorageSettings,
    WebhookSettings,
    ZooKeeperSettings,
    digest_of,
)


def load(path: Path) -> Settings:
    """Read and check the whole configuration. Changes nothing; a reload calls it again.

    Every secret that the configuration names is read once, so that a bad one is found now, and is
    known to the log's redactor from here on.

    Args:
        path: ``hamon.toml``; ``hosts_dir`` and other relative paths start beside it.

    Raises:
        ConfigError: anything is wrong; with several faults, one error that lists them all.
    """
    settings, errors = _examined(path)
    if settings is not None and not errors:
        return settings
    if len(errors) == 1:
        raise errors[0]
    listed = "".join(f"\n  {error}" for error in errors)
    raise ConfigError(str(path), "", f"{len(errors)} faults must be corrected:{listed}")


def check(path: Path) -> tuple[ConfigError, ...]:
    """Say everything that is wrong with the configuration; empty: it can be used."""
    _, errors = _examined(path)
    return errors


def _examined(path: Path) -> tuple[Settings | None, tuple[ConfigError, ...]]:
    settings, errors = _read(path)
    return settings, _folded(errors)


def _read(path: Path) -> tuple[Settings | None, tuple[ConfigError, ...]]:
    try:
        document = Document(path)
    except ConfigError as error:
        return None, (error,)
    file, errors = validated(document, MainFile, document.data, ())
    if file is None:
        return None, errors
    found = list(errors)
    hosts_dir = _beside(path, file.cluster.hosts_dir)
    entries = _hosts(document, hosts_dir, found)
    found.extend(
        fleet.problems(
            entries,
            backend=file.cluster.backend,
            allow_loopback=file.overrides.allow_loopback,
        )
    )
    nova, errors = nova_settings(document, file, lambda written: _beside(path, written))
    found.extend(errors)
    settings = _settings(path, file, hosts_dir, entries, nova)
    found.extend(_own_problems(document, settings))
    found.extend(_twins(document, file))
    return settings, tuple(found)


def _folded(errors: tuple[ConfigError, ...]) -> tuple[ConfigError, ...]:
    """Report one fault in a pattern once, not for each of its hosts."""
    alike: dict[tuple[str, str], list[ConfigError]] = {}
    for error in errors:
        alike.setdefault((error.path, error.why), []).append(error)
    return tuple(
        first
        if not others
        else ConfigError(first.path, first.key, f"{first.why} (and the same {len(others)} × more)")
        for first, *others in alike.values()
    )


def _hosts(document: Document, hosts_dir: Path, found: list[ConfigError]) -> tuple[HostEntry, ...]:
    """Read every ``*.toml`` in the folder; what cannot be read is added to ``found``."""
    files = sorted(hosts_dir.glob("*.toml"))
    if not files:
        why = f"{hosts_dir} has no *.toml file: there is no host to look after"
        found.append(document.error(("cluster", "hosts_dir"), why))
    entries: list[HostEntry] = []
    for file in files:
        try:
            of_file, errors = load_hosts(Document(file))
        except ConfigError as error:
            found.append(error)
            continue
        entries.extend(of_file)
        found.extend(errors)
    return tuple(sorted(entries, key=lambda entry: entry.spec.name))


def _settings(
    path: Path,
    file: MainFile,
    hosts_dir: Path,
    entries: tuple[HostEntry, ...],
    nova: NovaSettings | None,
) -> Settings:
    zookeeper = file.zookeeper
    # Agents and controllers use one session time-out; it is written once.
    policy = Policy(
        backend=file.cluster.backend,
        mode=file.cluster.mode,
        zookeeper_servers=len(zookeeper.servers),
        detection=dataclasses.replace(
            file.detection, session_timeout_s=zookeeper.session_timeout_s
        ),
        holds=file.holds,
        fencing=file.fencing,
        evacuation=file.evacuation,
        recovery=file.recovery,
    )
    hosts = tuple(entry.spec for entry in entries)
    address, port = _place(file.metrics.listen)
    kdump_address, kdump_port = _place(file.kdump.listen)
    return Settings(
        path=path.absolute(),
        cluster=file.cluster.name,
        controller=ControllerId(file.cluster.controller or _machine_name()),
        hosts_dir=hosts_dir,
        state_dir=_beside(path, file.cluster.state_dir),
        run_dir=_beside(path, file.cluster.run_dir),
        zookeeper=ZooKeeperSettings(
            servers=zookeeper.servers,
            session_timeout_s=zookeeper.session_timeout_s,
            connect_timeout_s=zookeeper.connect_timeout_s,
            tick_time_s=zookeeper.tick_time_s,
            sync_limit=zookeeper.sync_limit,
            password_file=_beside_if(path, zookeeper.password_file),
            ca_file=_beside_if(path, zookeeper.ca_file),
            certificate_file=_beside_if(path, zookeeper.certificate_file),
            key_file=_beside_if(path, zookeeper.key_file),
            controllers_subject=zookeeper.controllers_subject,
        ),
        nova=nova,
        storage=StorageSettings(
            heartbeat_period_s=file.storage.heartbeat_period_s,
            heartbeats={beat.name: Path(beat.path) for beat in file.storage.heartbeats},
        ),
        metrics=MetricsSettings(
            address=address,
            port=port,
            certificate_file=_beside_if(path, file.metrics.certificate_file),
            key_file=_beside_if(path, file.metrics.key_file),
            username=file.metrics.username,
            password_file=_beside_if(path, file.metrics.password_file),
        ),
        webhook=_webhook(path, file),
        kdump=KdumpSettings(address=kdump_address, port=kdump_port),
        log=LogSettings(level=file.log.level, format=file.log.format),
        policy=policy,
        hosts=hosts,
        digest=digest_of(file.cluster.name, policy, hosts),
    )


def _own_problems(document: Document, settings: Settings) -> Iterator[ConfigError]:
    if "session_timeout_s" in document.data.get("detection", {}):
        why = "is written once, as zookeeper.session_timeout_s; remove it here"
        yield document.error(("detection", "session_timeout_s"), why)
    if not is_name(settings.controller):
        why = f"this machine's name {settings.controller!r} is no valid name; set the key"
        yield document.error(("cluster", "controller"), why)
    found = arithmetic.problems(settings.zookeeper, settings.policy)
    for key, why in (*found, *arithmetic.storage(settings.storage, settings.policy)):
        yield document.error(key, why)
    yield from _login_problems(document, settings.zookeeper)
    yield from _metrics_problems(document, settings.metrics)
    if settings.webhook is not None:
        yield from _webhook_problems(document, settings.webhook)


def _webhook(path: Path, file: MainFile) -> WebhookSettings | None:
    table = file.webhook
    if not table.url and not table.url_file:
        return None
    return WebhookSettings(
        url=table.url,
        url_file=_beside_if(path, table.url_file),
        token_file=_beside_if(path, table.token_file),
        ca_file=_beside_if(path, table.ca_file),
        events=frozenset(table.events),
    )


def _webhook_problems(document: Document, webhook: WebhookSettings) -> Iterator[ConfigError]:
    if webhook.url and webhook.url_file is not None:
        why = "is given twice: as url and in url_file; keep one"
        yield document.error(("webhook", "url"), why)
    for key, path in (("url_file", webhook.url_file), ("token_file", webhook.token_file)):
        try:
            if path is not None:
                read_secret(str(path))
        except ConfigError as error:
            yield document.error(("webhook", key), str(error))
    if webhook.ca_file is not None:
        try:
            check_authorities(str(webhook.ca_file))
        except ConfigError as error:
            yield document.error(("webhook", "ca_file"), str(error))
    if webhook.url.startswith("http://") and webhook.token_file is not None:
        why = "goes in clear over http://, and everybody on the way reads it; use https://"
        yield document.error(("webhook", "token_file"), why)


def _login_problems(document: Document, zookeeper: ZooKeeperSettings) -> Iterator[ConfigError]:
    by_certificate = {
        "certificate_file": zookeeper.certificate_file,
        "key_file": zookeeper.key_file,
        "controllers_subject": zookeeper.controllers_subject,
    }
    if not any(by_certificate.values()):
        if zookeeper.password_file is None:
            why = "is missing: ZooKeeper knows the controllers by a password or by a certificate"
            yield document.error(("zookeeper", "password_file"), why)
    else:
        for key, value in {**by_certificate, "ca_file": zookeeper.ca_file}.items():
            if not value:
                why = "is missing: a login by certificate needs it"
                yield document.error(("zookeeper", key), why)
        if zookeeper.password_file is not None:
            why = "ZooKeeper knows the controllers by a password or by a certificate, not by both"
            yield document.error(("zookeeper", "password_file"), why)
    for key, path in (
        ("password_file", zookeeper.password_file),
        ("key_file", zookeeper.key_file),
    ):
        try:
            if path is not None and key == "password_file":
                read_secret(str(path))
            elif path is not None:
                check_secret_file(str(path))
        except ConfigError as error:
            yield document.error(("zookeeper", key), str(error))


def _metrics_problems(document: Document, metrics: MetricsSettings) -> Iterator[ConfigError]:
    pairs = (
        ("certificate_file", metrics.certificate_file, "key_file", metrics.key_file),
        ("username", metrics.username, "password_file", metrics.password_file),
    )
    for one, first, other, second in pairs:
        if bool(first) != bool(second):
            missing, there = (other, one) if first else (one, other)
            yield document.error(("metrics", missing), f"is missing: {there} needs it")
    if metrics.password_file is not None:
        try:
            read_secret(str(metrics.password_file))
        except ConfigError as error:
            yield document.error(("metrics", "password_file"), str(error))
    if metrics.username and metrics.certificate_file is None and not _is_here(metrics.address):
        why = "is missing: without encryption everybody on the way reads the password"
        yield document.error(("metrics", "certificate_file"), why)
    if metrics.certificate_file is not None and metrics.key_file is not None:
        try:
            check_secret_file(str(metrics.key_file))
        except ConfigError as error:
            yield document.error(("metrics", "key_file"), str(error))


def _is_here(address: str) -> bool:
    return not address or ipaddress.ip_address(address).is_loopback


def _twins(document: Document, file: MainFile) -> Iterator[ConfigError]:
    """Refuse two storages of one name, or of one folder: one witness would speak twice."""
    beats = file.storage.heartbeats
    for what, values in (
        ("name", [beat.name for beat in beats]),
        ("path", [beat.path for beat in beats]),
    ):
        for value in sorted({value for value in values if values.count(value) > 1}):
            why = f"the {what} {value} stands there twice; each storage once"
            yield document.error(("storage", "heartbeats"), why)


def _place(listen: str) -> tuple[str, int]:
    """Split what is listened on; no address and 0: nothing is."""
    address, _, port = listen.rpartition(":")
    return address.removeprefix("[").removesuffix("]"), int(port or 0)


def _machine_name() -> str:
    return socket.gethostname().lower()


def _beside_if(path: Path, written: str) -> Path | None:
    return _beside(path, written) if written else None


def _beside(path: Path, written: str) -> Path:
    """Make a path absolute: a relative one starts beside hamon.toml."""
    return path.absolute().parent / written
