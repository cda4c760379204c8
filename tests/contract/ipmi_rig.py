"""A real BMC on loopback: ipmi_sim with a machine that is a file, started and ended by the test."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

USERNAME = "admin"
PASSWORD = "s3cret-of-rig"
CIPHER = 3
PRODUCT_UUID = "a1234567-89ab-4def-a123-456789abcdef"

CHASSIS = """\
#!/bin/sh
# Called as: <mc> get|set|check <what> [<value>] ...
rig={rig}
shift
verb=$1
shift
if [ -e "$rig/delay" ]; then sleep "$(cat "$rig/delay")"; fi
case "$verb" in
get) for what in "$@"; do
        if [ "$what" = power ]; then echo "power:$(cat "$rig/told" 2>/dev/null || cat "$rig/power")"
        else echo "$what:0"; fi
    done ;;
set) while [ $# -ge 2 ]; do
        if [ "$1" = power ] && [ ! -e "$rig/ignores" ]; then echo "$2" > "$rig/power"; fi
        shift 2
    done ;;
esac
exit 0
"""

LAN = """\
name "rig"
set_working_mc 0x20
startlan 1
  addr 127.0.0.1 {port}
  priv_limit admin
  allowed_auths_callback none md2 md5 straight
  allowed_auths_user none md2 md5 straight
  allowed_auths_operator none md2 md5 straight
  allowed_auths_admin none md2 md5 straight
  guid {guid}
endlan
chassis_control "{rig}/chassis.sh 0x20"
user 1 true "" "test" user 10 none md2 md5 straight
user 2 true "{username}" "{password}" admin 10 none md2 md5 straight
"""

EMULATION = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
mc_enable 0x20
"""


def is_installed() -> bool:
    """Whether this machine has ipmi_sim and ipmitool."""
    return shutil.which("ipmi_sim") is not None and shutil.which("ipmitool") is not None


def free_udp_port() -> int:
    """Return a UDP port of loopback that nobody holds now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class IpmiRig:
    """One ipmi_sim and its machine."""

    def __init__(self, folder: Path) -> None:
        self.port = free_udp_port()
        self._folder = folder
        (folder / "state").mkdir(parents=True)
        (folder / "power").write_text("1\n")
        chassis = folder / "chassis.sh"
        chassis.write_text(CHASSIS.format(rig=folder))
        chassis.chmod(0o755)
        (folder / "lan.conf").write_text(
            LAN.format(
                port=self.port,
                guid=PRODUCT_UUID.replace("-", ""),
                rig=folder,
                username=USERNAME,
                password=PASSWORD,
            )
        )
        (folder / "sim.emu").write_text(EMULATION)
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["ipmi_sim", "-n", "-c", "lan.conf", "-f", "sim.emu", "-s", "state"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait_until_it_listens()

    def _wait_until_it_listens(self) -> None:
        """Wait until our process, and no other, holds the port."""
        until = time.monotonic() + 10
        while not self._holds_port():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < until, "ipmi_sim does not listen"
            time.sleep(0.02)

    def _holds_port(self) -> bool:
        lines = Path("/proc/net/udp").read_text().splitlines()[1:]
        inodes = {
            line.split()[9] for line in lines if line.split()[1].endswith(f":{self.port:04X}")
        }
        mine = set()
        for link in Path(f"/proc/{self._process.pid}/fd").iterdir():
            try:
                mine.add(str(link.readlink()))
            except OSError:
                continue
        return any(f"socket:[{inode}]" in mine for inode in inodes)

    @property
    def is_on(self) -> bool:
        """Whether the machine has power, whatever the BMC says."""
        return (self._folder / "power").read_text().strip() == "1"

    def tell_always(self, power: str) -> None:
        """Have the BMC answer with this ("0" or "1") whatever is true."""
        (self._folder / "told").write_text(power)

    def ignore_orders(self) -> None:
        """Have the BMC accept orders and do nothing."""
        (self._folder / "ignores").touch()

    def delay(self, delay_s: float) -> None:
        """Have the BMC take this long for an answer."""
        (self._folder / "delay").write_text(str(delay_s))

    def stop(self) -> None:
        """End the BMC; nothing answers any more."""
        if self._process.poll() is None:
            # With the chassis script it may be running; it leads its group, so the id is its own.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
