"""The shipped configuration is the documentation: it loads, it is whole, and it says the truth."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from hamon.model.policy import Mode, Policy
from hamon.settings.document import dotted, known_keys
from hamon.settings.load import load
from hamon.settings.schema import (
    AgentTable,
    HostTable,
    IpmiTable,
    MainFile,
    PlaneTable,
    RedfishTable,
    RevocationTable,
    WatchdogTable,
)

CONFIG = Path(__file__).parents[2] / "config"
COMMENTED = re.compile(r"# ([a-z_]+ = \S.*|\[[a-z]+\]$)", re.MULTILINE)

OF_A_HOST = (
    HostTable,
    PlaneTable,
    IpmiTable,
    RedfishTable,
    AgentTable,
    RevocationTable,
    WatchdogTable,
)

WRITTEN_ELSEWHERE = {("detection", "session_timeout_s")}
"""Taken from [zookeeper]; refused in [detection]."""


def with_defaults_set(text: str) -> str:
    """Take the comment sign off every key, and off a table that may be absent."""
    return COMMENTED.sub(r"\1", text)


def secrets_beside(folder: Path) -> Path:
    """Copy the shipped configuration with secrets of its own."""
    secrets = folder / "secrets"
    (folder / "hosts.d").mkdir()
    secrets.mkdir()
    for name in ("hamon.toml", "hosts.d/example.toml"):
        text = (CONFIG / name).read_text()
        (folder / name).write_text(text.replace("/etc/hamon/secrets", str(secrets)))
    hosts = [f"zookeeper-compute-{number:02}" for number in range(1, 21)]
    for name in ("zookeeper-controllers", "bmc", "outlet", *hosts):
        (secrets / name).write_text("long enough\n")
        (secrets / name).chmod(0o400)
    return folder / "hamon.toml"


def leaves(table: Mapping[str, Any], at: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Flatten a table of tables."""
    found: dict[tuple[str, ...], Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            found.update(leaves(value, (*at, key)))
        else:
            found[*at, key] = value
    return found


def test_shipped_files__loaded__give_the_hosts_of_the_example(tmp_path: Path) -> None:
    """What is shipped works as soon as the secrets are there."""
    settings = load(secrets_beside(tmp_path))

    assert [f"compute-{number:02}" for number in range(1, 21)] == [
        host.name for host in settings.hosts
    ]
    seventh = settings.hosts[6]
    assert tuple(p.address for p in seventh.planes) == ("192.0.2.107", "198.51.100.107")
    assert tuple(device.name for device in seventh.fence) == ("bmc", "outlet")
    assert seventh.fence[1].options == {"plug": "7"}
    assert seventh.product_uuid == "6f1c2d34-5e67-489a-8bcd-ef0123456789"
    assert Policy(mode=Mode.SHADOW, zookeeper_servers=3) == settings.policy


def test_shipped_hamon_toml__every_key__is_there_once() -> None:
    """No key can be set that the file does not explain."""
    text = with_defaults_set((CONFIG / "hamon.toml").read_text())

    written = set(leaves(tomllib.loads(text)))

    expected = {dotted(key) for key in known_keys(MainFile) if key not in WRITTEN_ELSEWHERE}
    assert expected == {dotted(key) for key in written}


def test_shipped_hamon_toml__commented_values__are_the_defaults() -> None:
    """What the file calls a default is what the code does."""
    shipped = (CONFIG / "hamon.toml").read_text()
    required = tomllib.loads(shipped)

    defaults = MainFile.model_validate_json(json.dumps({**required, "nova": {}}))
    documented = leaves(tomllib.loads(with_defaults_set(shipped)))

    in_code = leaves(defaults.model_dump(mode="json"))
    assert {key: in_code[key] for key in documented} == documented


@pytest.mark.parametrize("model", OF_A_HOST)
def test_shipped_hosts_example__every_key__is_mentioned(model: type[BaseModel]) -> None:
    """A host's every key is explained in the example."""
    text = (CONFIG / "hosts.d/example.toml").read_text()

    missing = [key[-1] for key in known_keys(model) if not re.search(rf"\b{key[-1]}\b", text)]

    assert missing == []


@pytest.mark.parametrize("model", OF_A_HOST)
def test_shipped_hosts_example__commented_values__are_the_defaults(
    model: type[BaseModel],
) -> None:
    """What the example calls a default is a default of some table of a host."""
    text = (CONFIG / "hosts.d/example.toml").read_text()
    commented: dict[str, Any] = {}
    for line in COMMENTED.findall(text):
        # `port` stands under a plane, a BMC and an agent; any of its defaults will do.
        for key, value in tomllib.loads(line).items():
            commented.setdefault(key, []).append(value)

    # TOML has lists only.
    defaults = {
        key: list(field.default) if isinstance(field.default, tuple) else field.default
        for key, field in model.model_fields.items()
    }
    wrong = {
        key: default
        for key, default in defaults.items()
        if key in commented and default not in commented[key]
    }

    assert wrong == {}
