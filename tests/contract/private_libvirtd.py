"""A libvirtd of its own for a test: private folders, private processes, ended by one kill."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from hamon.agent.hook_files import install_hook
from hamon.agent.permits import FilePermits, HostFolders
from hamon.model.names import BootId, GuestId
from lab.guest_image import BASE_COMMAND_LINE, GuestImage

DISK_BYTES = 8 * 1024 * 1024
"""What the lab's guest writes to."""

_QEMU_CONF = """\
user = "root"
group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
remember_owner = 0
stdio_handler = "file"
"""

_INIT = """\
set -e
mount --make-rprivate /
for folder in etc/libvirt var/lib/libvirt var/cache/libvirt var/log/libvirt run/libvirt; do
    mkdir -p "$ROOT/$folder" "/$folder"
    mount --bind "$ROOT/$folder" "/$folder"
done
while :; do
    libvirtd --timeout 600 || :
done
"""


class PrivateLibvirtd:
    """One virtual compute host: its libvirtd, its hook, its permits, its folder for disks."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.boot_id = BootId(str(uuid4()))
        self.boot_id_file = root / "boot_id"
        self.boot_id_file.write_text(self.boot_id)
        self.disks = root / "disks"
        self.disks.mkdir()
        self.run_dir = root / "run" / "libvirt"
        self.hooks = root / "etc" / "libvirt" / "hooks"
        self.folders = HostFolders(run_dir=root / "hamon", state_dir=root / "hamon-state")
        self._configure()
        self.permits = FilePermits(self.folders, self.boot_id)
        install_hook(self.hooks, self.folders, self.boot_id_file)
        with (root / "libvirtd.log").open("w") as log:
            self._init = subprocess.Popen(
                [
                    *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
                    *("sh", "-c", _INIT),
                ],
                env={**os.environ, "ROOT": str(root)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _configure(self) -> None:
        folder = self.root / "etc" / "libvirt"
        folder.mkdir(parents=True)
        (folder / "qemu.conf").write_text(_QEMU_CONF)
        (folder / "libvirtd.conf").write_text(
            f'host_uuid = "{uuid4()}"\nauth_unix_rw = "none"\nlog_outputs = "3:stderr"\n'
        )

    @property
    def uri(self) -> str:
        """Where it answers, also from outside its namespaces."""
        return f"qemu+unix:///system?socket={self.run_dir}/libvirt-sock"

    def pid(self) -> int:
        """The process id of its libvirtd, as seen from here.

        Raises:
            AssertionError: it did not come up.
        """
        return wait_for(self._find_pid, "libvirtd to run")

    def pid_of(self, guest: GuestId) -> int:
        """The process id of a guest's QEMU, as seen from here.

        libvirt's pid files count as its own namespace does.
        """

        def find() -> int:
            for pid in _descendants(self._init.pid):
                command = Path(f"/proc/{pid}/cmdline")
                if command.exists() and f"\0-uuid\0{guest}\0" in command.read_text():
                    return pid
            return 0

        return wait_for(find, f"QEMU of {guest}")

    def send(self, number: signal.Signals) -> None:
        """Send its libvirtd a signal."""
        os.kill(self.pid(), number)

    def wait_until_ready(self) -> None:
        """Wait until it answers, and knows what its QEMU can do: that takes it seconds once.

        It learns of KVM and of emulation apart, and of the host.
        """
        wait_for(self._answers, "libvirtd to answer")

    def _answers(self) -> bool:
        return all(
            self._virsh(question).returncode == 0
            for question in ("capabilities", "domcapabilities")
        )

    def virsh(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run virsh against it, as an operator would."""
        return self._virsh(*arguments)

    def close(self) -> None:
        """End it and every guest: a power cut."""
        self._init.kill()
        self._init.wait()

    def definition(
        self,
        guest: GuestId,
        name: str,
        *,
        channel: str | None = None,
        image: GuestImage | None = None,
    ) -> str:
        """A guest that runs under emulation, with a small disk of its own.

        ``channel``: the name of one that it has. ``image``: the lab's, with its agent; without one
        the guest does nothing.
        """
        disk = self.disks / f"{name}.img"
        with disk.open("ab") as file:
            file.truncate(DISK_BYTES)
        return f"""\
<domain type="qemu">
  <name>{name}</name>
  <uuid>{guest}</uuid>
  <memory unit="MiB">{32 if image is None else 96}</memory>
  <vcpu>1</vcpu>
  <os><type arch="x86_64">hvm</type>{"" if image is None else _boot(image)}</os>
  <on_crash>destroy</on_crash>
  <devices>
    <disk type="file" device="disk">
      <driver name="qemu" type="raw"/>
      <source file="{disk}"/>
      <target dev="vda" bus="virtio"/>
      <shareable/>
    </disk>
    <controller type="usb" model="none"/>
    <memballoon model="none"/>
    {"" if channel is None else _channel(channel)}
  </devices>
</domain>
"""

    def _virsh(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["virsh", "-c", self.uri, *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def _find_pid(self) -> int:
        """Look for libvirtd below the process that was started here; 0 while there is none."""
        for pid in _descendants(self._init.pid):
            name = Path(f"/proc/{pid}/comm")
            if name.exists() and name.read_text().strip() == "libvirtd":
                return pid
        return 0


@contextmanager
def private_libvirtd() -> Iterator[PrivateLibvirtd]:
    """Give a libvirtd that answers; end it afterwards."""
    # A socket's path has room for 107 bytes: pytest's folders are too deep.
    with tempfile.TemporaryDirectory(prefix="hamon-", ignore_cleanup_errors=True) as folder:
        host = PrivateLibvirtd(Path(folder))
        try:
            host.wait_until_ready()
            yield host
        finally:
            host.close()


def wait_for(check: Callable[[], int], what: str, within_s: float = 30.0) -> int:
    """Wait until ``check`` gives something, and return it.

    Raises:
        AssertionError: it did not in time.
    """
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        if found := check():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {within_s} s for {what}")


def _boot(image: GuestImage) -> str:
    return (
        f"<kernel>{image.kernel}</kernel><initrd>{image.initramfs}</initrd>"
        f"<cmdline>{BASE_COMMAND_LINE} lab.agent</cmdline>"
    )


def _channel(name: str) -> str:
    return f'<channel type="unix"><target type="virtio" name="{name}"/></channel>'


def _descendants(pid: int) -> Iterator[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from _descendants(child)
