"""Kernel and initramfs of the lab's guests, made once and cached; and whether KVM really works."""

import gzip
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.names import CACHE, LabError
from lab.processes import run

KERNEL_PACKAGE = "linux-image-cloud-amd64"
# Without self-tests of cryptography, relocation and the like a guest boots with a third less CPU
# time, which counts when eight boot on two cores without KVM.
BASE_COMMAND_LINE = (
    "console=ttyS0 panic=-1 quiet mitigations=off no_timer_check nokaslr noreplace-smp "
    "cryptomgr.notests initcall_blacklist=init_kprobe_trace,load_system_certificate_list,"
    "cubictcp_register,oom_init,init_encrypted"
)
PROBE_TIMEOUT_S = 15

_INIT_SOURCE = Path(__file__).with_name("guest_init.c")
_MODULES = {"order": ("virtio_pci", "virtio_blk"), "agent": ("virtio_console",)}
"""What PID 1 loads, by the list in which it finds it: always, and for a guest agent's channel."""
_MACHINE_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestImage:
    """What a guest boots."""

    kernel: Path
    initramfs: Path


def cached_image() -> GuestImage:
    """The guests' kernel and initramfs; downloaded and built if the cache has none.

    The kernel is Debian's, unpacked and never installed.

    Raises:
        LabError: the download or the build failed.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    image = GuestImage(kernel=CACHE / "vmlinuz", initramfs=CACHE / "initramfs.gz")
    unpacked = CACHE / "kernel"
    if not unpacked.exists():
        _unpack_kernel(unpacked)
    built_from = CACHE / "initramfs.source"
    source = _INIT_SOURCE.read_text()
    if image.initramfs.exists() and built_from.exists() and built_from.read_text() == source:
        return image
    shutil.copy(next(unpacked.glob("boot/vmlinuz-*")), image.kernel)
    _build_initramfs(unpacked, image.initramfs)
    built_from.write_text(source)
    return image


def accelerator(image: GuestImage) -> str:
    """`kvm` if a guest really boots under it on this machine, else `qemu` (libvirt's word for TCG).

    Asked once per boot of the machine: /dev/kvm may exist and still not run a guest.
    """
    answer_file = CACHE / "accelerator.json"
    machine_boot_id = _MACHINE_BOOT_ID.read_text().strip()
    if answer_file.exists():
        answer = json.loads(answer_file.read_text())
        if answer["machine_boot_id"] == machine_boot_id:
            return str(answer["accelerator"])
    found = "kvm" if _boots_under_kvm(image) else "qemu"
    answer_file.write_text(json.dumps({"machine_boot_id": machine_boot_id, "accelerator": found}))
    return found


def _boots_under_kvm(image: GuestImage) -> bool:
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    argv = [
        *("qemu-system-x86_64", "-accel", "kvm", "-m", "128", "-display", "none", "-no-reboot"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initramfs), "-nodefaults"),
        *("-append", f"{BASE_COMMAND_LINE} lab.probe", "-serial", "stdio"),
    ]
    try:
        probe = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return b"lab-probe-booted" in probe.stdout


def _unpack_kernel(target: Path) -> None:
    depends = run(["apt-cache", "depends", KERNEL_PACKAGE])
    packages = [line.split()[-1] for line in depends.splitlines() if "Depends: linux-image" in line]
    if not packages:
        raise LabError(f"apt does not know {KERNEL_PACKAGE}: run apt-get update first")
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        # A relative target: apt-get downloads into its working folder.
        download = ["env", "-C", scratch, "apt-get", "--quiet", "download", packages[0]]
        run(download, deadline_s=300)
        unpacked = Path(scratch) / "kernel"
        run(["dpkg", "-x", str(next(Path(scratch).glob("*.deb"))), str(unpacked)], deadline_s=120)
        unpacked.rename(target)


def _build_initramfs(kernel: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        root = Path(scratch)
        for folder in ("proc", "sys", "dev", "modules"):
            (root / folder).mkdir()
        loaded: set[str] = set()
        for purpose, names in _MODULES.items():
            wanted = dict.fromkeys(m for name in names for m in _with_needed(kernel, name))
            ordered = [module for module in wanted if module not in loaded]
            for module in ordered:
                shutil.copy(_module_file(kernel, module), root / "modules" / f"{module}.ko")
            (root / "modules" / purpose).write_text("".join(f"{module}\n" for module in ordered))
            loaded.update(ordered)
        run(["gcc", "-O2", "-static", "-s", "-o", str(root / "init"), str(_INIT_SOURCE)])
        files = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
        archive = subprocess.run(
            ["cpio", "--create", "--format=newc", "--quiet", "--directory", str(root)],
            input=files.encode(),
            capture_output=True,
            check=True,
        ).stdout
    new = target.with_suffix(".new")
    new.write_bytes(gzip.compress(archive))
    new.rename(target)


def _with_needed(kernel: Path, module: str) -> Iterator[str]:
    """A module after everything that it needs, as its own file says."""
    needed = run(["modinfo", "-F", "depends", str(_module_file(kernel, module))]).strip()
    for other in filter(None, needed.split(",")):
        yield from _with_needed(kernel, other)
    yield module


def _module_file(kernel: Path, module: str) -> Path:
    try:
        return next(kernel.rglob(f"{module}.ko"))
    except StopIteration:
        raise LabError(f"{KERNEL_PACKAGE} has no module {module}") from None
