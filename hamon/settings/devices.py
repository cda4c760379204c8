"""One ``fence.<device>`` table of a host, and what of it would not fence, or fence the wrong host.

The refusals are those of the fence agents' contract: an option that turns a typing error into
"Already OFF", a method that reboots instead of cutting power, a password on a command line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from hamon.errors import ConfigError
from hamon.model.host import FenceDeviceSpec
from hamon.settings.document import Document, Key, validated
from hamon.settings.schema import (
    IPMI_PORT,
    REDFISH_PORT,
    AgentTable,
    IpmiTable,
    KindTable,
    RedfishTable,
    RevocationTable,
    WatchdogTable,
)

IPMI_PASSWORD_BYTES_MAX = 20
"""IPMI 2.0 has room for no more; ipmitool refuses, some BMCs cut off in silence."""

REFUSED_OPTIONS: Mapping[str, str] = {
    "action": "hamon chooses the action: off, then status; left out, an agent would reboot",
    "method": "only method onoff is a proof of Off, and hamon sets it; cycle claims success early",
    "missing_as_off": 'a misspelt plug would read as "Already OFF" and prove a live host dead',
    "disable_timeout": "the agent could hang for ever on a dead device",
    "option": "it is the old name of action, and hamon chooses that",
    "plug_separator": "one device has one plug here",
    "separator": "one device has one plug here",
    "nodename": "agents that do not know it ignore it; name the plug",
    "delay": "an order begins when its journal entry says, or not at all",
    "debug": "it writes passwords into a file",
    "debug_file": "it writes passwords into a file",
    "verbose": "it may print passwords; hamon logs what went wrong anyway",
    "verbose_level": "it may print passwords; hamon logs what went wrong anyway",
    "version": "the agent would print its version and do nothing",
    "help": "the agent would print its help and do nothing",
    "password": "a secret belongs into a file; use password_file",
    "passwd": "a secret belongs into a file; use password_file",
    "password_script": "it runs through a shell; use password_file",
    "passwd_script": "it runs through a shell; use password_file",
    "ip": "use the device's own key: address",
    "ipaddr": "use the device's own key: address",
    "ipport": "use the device's own key: port",
    "username": "use the device's own key: username",
    "login": "use the device's own key: username",
}
_INSECURE_OPTIONS = frozenset({"ssl_insecure", "notls"})
_PLUG_OPTIONS = ("plug", "port")
"""New and old name of one option: which outlet of the device."""
_TARGET_OPTIONS = (*_PLUG_OPTIONS, "systems_uri")
"""What tells one host from another behind the same address."""

_IPMI_AGENTS = frozenset(
    {
        "fence_idrac",
        "fence_ilo3",
        "fence_ilo4",
        "fence_ilo5",
        "fence_imm",
        "fence_ipmilan",
        "fence_ipmilanplus",
    }
)
_BMC_AGENTS = _IPMI_AGENTS | {
    "fence_amt",
    "fence_drac",
    "fence_drac5",
    "fence_ilo",
    "fence_ilo2",
    "fence_ilo3_ssh",
    "fence_ilo4_ssh",
    "fence_ilo5_ssh",
    "fence_ilo_mp",
    "fence_ilo_ssh",
    "fence_redfish",
    "fence_rsa",
    "fence_rsb",
}
_SCHEMAS: Mapping[str, type[BaseModel]] = {
    "ipmi": IpmiTable,
    "redfish": RedfishTable,
    "agent": AgentTable,
    "storage": RevocationTable,
    "watchdog": WatchdogTable,
}


def device_of(
    document: Document,
    name: str,
    table: Mapping[str, object],
    at: Key,
    also: tuple[Key, ...],
    resolve: Callable[[str], Path],
) -> tuple[FenceDeviceSpec | None, tuple[ConfigError, ...]]:
    """Turn one device's table into its specification.

    Args:
        document: the file it stands in.
        name: the device's name within its host.
        table: defaults, pattern and host merged, placeholders filled in.
        at: the table's key.
        also: where else its keys may stand.
        resolve: makes the path of a secret absolute.

    Returns:
        The specification and no errors, or None and everything wrong with it.
    """
    kind, errors = validated(document, KindTable, table, at, *also)
    if kind is None:
        return None, errors
    device, errors = validated(document, _SCHEMAS[kind.kind], table, at, *also)
    if device is None:
        return None, errors
    refused = tuple(
        document.error((*at, *key), why, *((*place, *key) for place in also))
        for key, why in _refusals(device)
    )
    return (None, refused) if refused else (_spec(name, device, resolve), ())


def is_bmc(device: FenceDeviceSpec) -> bool:
    """Say whether the device draws its power from the host it fences, and dies with it."""
    return device.kind in {"ipmi", "redfish"} or device.agent in _BMC_AGENTS


def protocol_of(device: FenceDeviceSpec) -> str:
    """Return what is spoken with the device; the program that speaks it does not matter."""
    if device.kind != "agent":
        return device.kind
    if device.agent == "fence_redfish":
        return "redfish"
    return "ipmi" if device.agent in _IPMI_AGENTS else device.agent


def outlet_of(device: FenceDeviceSpec) -> tuple[str, ...]:
    """Return what two devices of different hosts must not have in common, empty if nothing is.

    For a BMC its address and port, with Redfish also the system behind it; for an agent its address
    and what it names behind it. A storage hook is told for which host it acts.
    """
    if device.is_revocation:
        return ()
    protocol = protocol_of(device)
    if protocol == "ipmi":
        return (protocol, device.address, str(device.port or IPMI_PORT))
    if protocol == "redfish":
        system = device.system or device.options["systems_uri"]
        port = str(device.port or REDFISH_PORT)
        return (protocol, device.address, port, system.rstrip("/").casefold())
    named = [device.options[key] for key in _TARGET_OPTIONS if key in device.options]
    if not named and not device.address:
        named = [f"{key}={value}" for key, value in sorted(device.options.items())]
    return (device.agent, device.address, str(device.port), *named)


def _spec(name: str, table: BaseModel, resolve: Callable[[str], Path]) -> FenceDeviceSpec:
    match table:
        case IpmiTable():
            return _ipmi(name, table, resolve)
        case RedfishTable():
            return _redfish(name, table, resolve)
        case AgentTable():
            return _agent(name, table, resolve)
        case WatchdogTable():
            return _watchdog(name, table)
        case RevocationTable():
            return FenceDeviceSpec(
                name=name,
                level=table.level,
                delay_s=table.delay_s,
                kind=table.kind,
                address="",
                port=0,
                program=table.program,
                arguments=table.arguments,
            )
        case _:
            raise AssertionError(table)


def _redfish(name: str, table: RedfishTable, resolve: Callable[[str], Path]) -> FenceDeviceSpec:
    return FenceDeviceSpec(
        name=name,
        level=table.level,
        delay_s=table.delay_s,
        kind=table.kind,
        address=table.address,
        port=table.port,
        username=table.username,
        password_file=str(resolve(table.password_file)),
        system=table.system,
        ca_file=str(resolve(table.ca_file)) if table.ca_file else "",
        allow_insecure_tls=table.allow_insecure_tls,
    )


def _ipmi(name: str, table: IpmiTable, resolve: Callable[[str], Path]) -> FenceDeviceSpec:
    return FenceDeviceSpec(
        name=name,
        level=table.level,
        delay_s=table.delay_s,
        kind=table.kind,
        address=table.address,
        port=table.port,
        username=table.username,
        password_file=str(resolve(table.password_file)),
        cipher=table.cipher,
    )


def _watchdog(name: str, table: WatchdogTable) -> FenceDeviceSpec:
    return FenceDeviceSpec(
        name=name,
        level=table.level,
        kind=table.kind,
        address="",
        reset_latency_s=table.reset_latency_s,
        margin_s=table.margin_s,
    )


def _agent(name: str, table: AgentTable, resolve: Callable[[str], Path]) -> FenceDeviceSpec:
    return FenceDeviceSpec(
        name=name,
        level=table.level,
        delay_s=table.delay_s,
        kind=table.kind,
        address=table.address,
        port=table.port,
        username=table.username,
        password_file=str(resolve(table.password_file)) if table.password_file else "",
        agent=table.agent,
        options=_options(table),
    )


def _options(table: AgentTable) -> dict[str, str]:
    """Spell options as agents read them, and leave out what is false.

    Many agents only look whether an option is there: ``ssl_insecure=0`` would switch TLS
    verification off. So what is false is not sent.
    """
    options: dict[str, str] = {}
    for key, value in sorted(table.options.items()):
        if value is not False:
            options[key.replace("-", "_")] = "1" if value is True else str(value)
    return options


def _refusals(table: BaseModel) -> Iterator[tuple[Key, str]]:
    match table:
        case AgentTable():
            yield from _refused_options(table)
        case RedfishTable() if table.ca_file and table.allow_insecure_tls:
            why = "refused: ca_file would not be looked at; remove one of the two"
            yield ("allow_insecure_tls",), why


def _refused_options(table: AgentTable) -> Iterator[tuple[Key, str]]:
    for key in table.options:
        if why := REFUSED_OPTIONS.get(key.replace("-", "_")):
            yield ("options", key), f"refused: {why}"
    options = _options(table)
    for option in _INSECURE_OPTIONS & options.keys():
        if not table.allow_insecure_tls:
            why = "refused: whoever answers would be believed; allow_insecure_tls = true accepts it"
            yield ("options", option), why
    if "," in options.get("plug", ""):
        yield (
            ("options", "plug"),
            "refused: agents take a comma as several plugs; name one",
        )
    if table.agent == "fence_redfish" and "systems_uri" not in options:
        why = "is missing: without it fence_redfish fences the last system its service lists"
        yield ("options", "systems_uri"), why
