"""The child that orders a BMC only if it answers for the right machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hamon.fencing import ipmi_order
from hamon.model.readings import spellings

MACHINE = "a1234567-89ab-4def-a123-456789abcdef"
ANOTHER = "11111111-2222-4333-8444-555555555552"
IPMITOOL = """\
#!/bin/sh
for last; do :; done
case "$last" in
0x37) {answer} ;;
off) touch {ordered}; echo "Chassis Power Control: Down/Off" ;;
esac
"""


def spelt(uuid: str) -> str:
    """The bytes of a GUID as ipmitool prints them."""
    plain = uuid.replace("-", "")
    return " ".join(plain[at : at + 2] for at in range(0, len(plain), 2))


def order(folder: Path, answer: str) -> tuple[int, bool]:
    """Order off; return the exit code, and whether the order was given."""
    tool, ordered = folder / "ipmitool", folder / "ordered"
    tool.write_text(IPMITOOL.format(answer=answer, ordered=ordered))
    tool.chmod(0o755)
    command = (
        *(sys.executable, "-I", "-S", str(Path(ipmi_order.__file__))),
        *(",".join(spellings(MACHINE)), str(tool), "-H", "192.0.2.1", "chassis", "power", "off"),
    )
    return subprocess.run(command, check=False, capture_output=True).returncode, ordered.exists()


@pytest.mark.parametrize("uuid", spellings(MACHINE))
def test_order__bmc_names_the_machine__is_given(tmp_path: Path, uuid: str) -> None:
    """In whichever order of bytes the BMC sends them."""
    assert (0, True) == order(tmp_path, f"echo ' {spelt(uuid)}'")


@pytest.mark.parametrize(
    "answer",
    [
        f"echo '{'00 ' * 16}'",
        f"echo '{'ff ' * 16}'",
        "echo 'Unable to send RAW command (cmd=0x37 rsp=0xc1): Invalid command' >&2; exit 1",
    ],
)
def test_order__bmc_has_no_guid__is_given(tmp_path: Path, answer: str) -> None:
    """It has no way to say whom it answers for."""
    assert (0, True) == order(tmp_path, answer)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (f"echo ' {spelt(ANOTHER)}'", ipmi_order.Exit.ANOTHER_MACHINE),
        ("echo 'Error: Unable to establish IPMI v2 / RMCP+ session' >&2; exit 1",
         ipmi_order.Exit.NO_ANSWER),
        ("echo 'Unable to send RAW command (netfn=0x6 cmd=0x37)' >&2; exit 1",
         ipmi_order.Exit.NO_ANSWER),
    ],
)  # fmt: skip
def test_order__another_machine_or_no_answer__is_not_given(
    tmp_path: Path, answer: str, code: int
) -> None:
    """A host that is well stays well."""
    assert (code, False) == order(tmp_path, answer)
