"""The BMC of each compute host: a real IPMI service that outlives the host's power."""

import secrets
import signal
import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hamon.model.readings import same_system
from lab import network
from lab.names import PREFIX_LENGTH, PROJECT, LabError, Layout, MachineName, Plane
from lab.processes import (
    kill_session,
    read_record,
    run,
    signal_process,
    start_recorded,
    wait_until,
)

PORT = 623
USER = "hamon"
CIPHER_SUITE = 3
SLOW_S = 8
# The second BMC of a host has the address of a host that a lab of 50 does not have.
_SECOND_UNIT = 50

_CHASSIS_CONTROL = Path(__file__).with_name("chassis_control.sh")
_SYSTEM_GUID = "System GUID"

_LAN_CONF = """\
name "{host}"
set_working_mc 0x20
startlan 1
  addr {address} {port}
  priv_limit admin
  allowed_auths_callback none
  allowed_auths_user none
  allowed_auths_operator none
  allowed_auths_admin none md5
  guid {guid}
endlan
chassis_control "{chassis_control} {settings} 0x20"
user 1 false "" "" user 10 none
user 2 true "{user}" "{password}" admin 10 none md5
"""

_EMULATION = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
mc_enable 0x20
"""


class Fault(StrEnum):
    """How a BMC behaves."""

    OK = "ok"
    DEAD = "dead"
    SLOW = "slow"
    MUTE = "mute"
    REFUSE = "refuse"
    LIE_OFF = "lie-off"
    LIE_ON = "lie-on"
    IGNORE_OFF = "ignore-off"


_KEEP_COMMANDS = (Fault.SLOW, Fault.MUTE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bmc:
    """The BMC of one host, in a network namespace of its own on the BMC plane.

    A second one, made by `add`, is another way to the same power: it stands for a PDU.
    """

    layout: Layout
    host: MachineName
    unit: int = 1

    @property
    def _name(self) -> str:
        return f"{self.host}-bmc" if self.unit == 1 else f"{self.host}-bmc{self.unit}"

    @property
    def folder(self) -> Path:
        """Configuration and log."""
        first = self.layout.bmc_folder(self.host)
        return first if self.unit == 1 else first / str(self.unit)

    @property
    def address(self) -> str:
        """Where it answers, on the BMC plane."""
        network, _, machine = self.layout.address(self.host, Plane.BMC).rpartition(".")
        return f"{network}.{int(machine) + _SECOND_UNIT * (self.unit - 1)}"

    @property
    def password_file(self) -> Path:
        """The file with the password of `USER`."""
        return self.layout.secrets / self._name

    @property
    def log(self) -> Path:
        """What the BMC and its power-ons printed."""
        return self.folder / "bmc.log"

    @property
    def _record(self) -> Path:
        return self.layout.processes / self._name

    @property
    def _mode_file(self) -> Path:
        return self.folder / "mode"

    @property
    def _guid(self) -> str:
        # IPMI sends it last byte first; so `ipmitool mc guid` shows the product uuid itself.
        return self.layout.product_uuid(self.host).bytes[::-1].hex()

    def prepare(self) -> None:
        """Write the BMC's configuration and a new password, before its first start."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # IPMI 2.0 allows 20 bytes.
        password = secrets.token_hex(8)
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(password)
        settings = self.folder / "settings.sh"
        values = {
            "lab": self.layout.lab,
            "host": self.host,
            "project": PROJECT,
            "python": sys.executable,
            "mode": self._mode_file,
            "switch": self.layout.power_switch(self.host),
            "outer": self.layout.processes / f"{self.host}-unshare",
            "init": self.layout.processes / f"{self.host}-init",
            "log": self.log,
            "slow_s": SLOW_S,
        }
        settings.write_text("".join(f"{key}='{value}'\n" for key, value in values.items()))
        configuration = self.folder / "lan.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            _LAN_CONF.format(
                host=self.host,
                address=self.address,
                port=PORT,
                guid=self._guid,
                chassis_control=_CHASSIS_CONTROL,
                settings=settings,
                user=USER,
                password=password,
            )
        )
        (self.folder / "emulation").write_text(_EMULATION)
        self._mode_file.write_text(Fault.OK)

    def add(self) -> None:
        """Put a second BMC beside the first, and start it; it goes with the lab. Idempotent.

        Raises:
            LabError: it does not answer.
        """
        if not self.folder.exists():
            self.prepare()
            namespace = self.layout.bmc_namespace(self.host)
            address = f"{self.address}/{PREFIX_LENGTH}"
            run(["ip", "-n", namespace, "address", "add", address, "dev", str(Plane.BMC)])
        self.start()

    def start(self) -> None:
        """Start the BMC unless it runs, and see that it is this host's that answers.

        Raises:
            LabError: it does not answer, or as another host's.
        """
        if self.running():
            return
        namespace = network.NAMESPACES / self.layout.bmc_namespace(self.host)
        start_recorded(
            [
                *("nsenter", f"--net={namespace}", "ipmi_sim", "-n"),
                *("-c", str(self.folder / "lan.conf"), "-f", str(self.folder / "emulation")),
                *("-s", str(self.folder / "state")),
            ],
            record=self._record,
            log=self.log,
        )
        wait_until(self._answers, f"the BMC of {self.host} answers (see {self.log})", 15.0)

    def kill(self) -> None:
        """End the BMC's process. Idempotent."""
        process = read_record(self._record)
        if process is not None:
            kill_session(process)

    def running(self) -> bool:
        """Whether the BMC's process runs."""
        process = read_record(self._record)
        return process is not None and process.alive()

    def fault(self) -> Fault:
        """How the BMC behaves now."""
        return Fault(self._mode_file.read_text()) if self.running() else Fault.DEAD

    def behave(self, fault: Fault) -> None:
        """Make the BMC well or ill. Idempotent.

        dead: its process is gone; slow: each answer takes `SLOW_S`; mute: takes all that is sent
        to it and answers nothing; refuse: an error to each command; lie-off, lie-on: says so
        whatever is true; ignore-off: accepts off, does nothing.
        """
        if fault is Fault.DEAD or self._mode_file.read_text() in _KEEP_COMMANDS:
            # It serves one command at a time: those that wait would go first.
            self.kill()
        if fault is Fault.DEAD:
            return
        self.start()
        self._mode_file.write_text(fault)
        process = read_record(self._record)
        if fault is Fault.MUTE and process is not None:
            signal_process(process, signal.SIGSTOP)

    def ipmitool(self, *command: str, retries: int = 1) -> subprocess.CompletedProcess[str]:
        """Ask the BMC over the network, as hamon does, from its own end of the BMC plane."""
        namespace = network.NAMESPACES / self.layout.bmc_namespace(self.host)
        return subprocess.run(
            [
                *("nsenter", f"--net={namespace}"),
                *ipmitool_argv(self.address, *command, retries=retries),
            ],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "IPMITOOL_PASSWORD": self.password()},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def password(self) -> str:
        """The password of `USER`."""
        return self.password_file.read_text()

    def _answers(self) -> bool:
        if not self.running():
            raise LabError(f"the BMC of {self.host} ended: {self.log.read_text()[-500:]}")
        answer = self.ipmitool("mc", "guid")
        if answer.returncode != 0:
            return False
        shown = next(ln for ln in answer.stdout.splitlines() if ln.startswith(_SYSTEM_GUID))
        # ipmitool guesses the order of the bytes from the GUID itself, and not always well.
        if not same_system(shown.partition(": ")[2], str(self.layout.product_uuid(self.host))):
            raise LabError(f"another BMC answers at {self.address}: {shown}")
        return True


def ipmitool_argv(address: str, *command: str, retries: int = 1) -> list[str]:
    """The command line that talks to a BMC of a lab; the password is in the environment."""
    return [
        *("ipmitool", "-I", "lanplus", "-H", address, "-p", str(PORT), "-U", USER, "-E"),
        *("-C", str(CIPHER_SUITE), "-N", "1", "-R", str(retries), *command),
    ]


def connect(layout: Layout, host: MachineName) -> None:
    """Make the BMC's network namespace and plug it into the BMC plane."""
    namespace = layout.bmc_namespace(host)
    network.plug(layout, host, Plane.BMC, namespace)
    network.give_address(layout, host, Plane.BMC, namespace)
