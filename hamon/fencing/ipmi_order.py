"""Order a BMC, if it answers for the right machine: a program of its own, run under ``shot.py``.

    python -I -S ipmi_order.py UUID[,UUID...] IPMITOOL [OPTION...] chassis power off|on

The uuids are the spellings of the machine that is to be ordered. First the BMC's GUID is read, in
the same child as the order, so that nothing lies between them but one more session. Then this
process becomes ipmitool and gives the order, with the same timer and the same end (``shot.py``).

1. A BMC that names another machine is ordered nothing.
2. Nor is one whose answer was not got: the next packet may reach another machine than the last.
3. One that answers that it has no GUID is ordered: it has no way to say whom it is for.

Standard library only. Exit codes: see :class:`Exit`; with any other, ipmitool itself has ended.
"""

from __future__ import annotations

import os
import subprocess
import sys
from enum import IntEnum
from uuid import UUID

GET_SYSTEM_GUID = ("raw", "0x06", "0x37")
GUID_BYTES = 16
_ORDER_WORDS = 3
_REFUSED = "rsp=0x"
"""In what ipmitool prints when the BMC answered a command with an error."""


class Exit(IntEnum):
    """How this program ends when it has ordered nothing."""

    ANOTHER_MACHINE = 70
    NO_ANSWER = 71


def guid_of(answer: str) -> bytes:
    """Return the GUID that ipmitool printed, bytes in the order the BMC sent them; empty: none.

    All zeros and all ones are what a board says that was never given a GUID: it names no system.
    """
    try:
        guid = bytes.fromhex(answer)
    except ValueError:
        return b""
    return b"" if len(guid) != GUID_BYTES or set(guid) in ({0x00}, {0xFF}) else guid


def refusal(accepted: list[str], command: list[str]) -> Exit | None:
    """Read the BMC's GUID; say why it is not to be ordered, on standard error too; None: it is."""
    asked = subprocess.run(
        [*command[:-_ORDER_WORDS], *GET_SYSTEM_GUID],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    guid = guid_of(asked.stdout) if asked.returncode == 0 else b""
    if guid and str(UUID(bytes=guid)) not in accepted:
        sys.stderr.write(f"it answers for another machine ({UUID(bytes=guid)}): nothing ordered")
        return Exit.ANOTHER_MACHINE
    if asked.returncode != 0 and _REFUSED not in asked.stderr:
        sys.stderr.write(asked.stderr)
        return Exit.NO_ANSWER
    return None


def main(arguments: list[str]) -> int:
    """Run as a program; see the module's docstring. Returns only where nothing is ordered."""
    accepted, *command = arguments
    refused = refusal(accepted.split(","), command)
    if refused is not None:
        return refused
    # It is this process that is timed and ended, whatever it becomes.
    return os.execv(command[0], command)  # noqa: S606 - no shell is what is wanted


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
