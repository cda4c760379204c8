"""A guest of QEMU with an emulated Intel 6300ESB watchdog, and hamon's own adapter in it.

Its kernel is Debian's, downloaded and unpacked once; its Python is this machine's, with the modules
that the adapter loads and no more.
"""

import gzip
import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab.names import CACHE
from lab.processes import run

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTHON = Path("/usr/bin/python3.11")
PROGRAMS = ("qemu-system-x86_64", "gcc", "cpio", "dpkg", "apt-get")
KERNEL_PACKAGE = "linux-image-amd64"
MODULES = ("watchdog", "i6300esb")
WITHIN_S = 240.0

_LOADED = """
import json, sys, os, signal, time
sys.path.insert(0, sys.argv[1])
import hamon.agent.watchdog_device, encodings.ascii, encodings.latin_1
print(json.dumps(sorted(
    {m.__file__ for m in sys.modules.values() if getattr(m, "__file__", None)}
)))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line that the guest told."""

    at_s: float
    event: str
    more: tuple[str, ...]


def is_possible() -> bool:
    """Say whether this machine has what it takes."""
    return PYTHON.exists() and all(map(shutil.which, PROGRAMS))


def play(folder: Path, what: str, *, nowayout: bool) -> list[Line]:
    """Boot the guest, have it do something, and return what it told until it was no more.

    QEMU ends when the guest powers off, and when its watchdog fires.
    """
    kernel = _unpacked_kernel()
    initramfs = _initramfs(kernel, folder)
    append = f"console=ttyS0 quiet panic=-1 mitigations=off driver.nowayout={int(nowayout)} {what}"
    argv = [
        *("qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-display", "none", "-nodefaults"),
        *("-no-reboot", "-device", "i6300esb", "-action", "watchdog=poweroff"),
        *("-kernel", str(next(kernel.glob("boot/vmlinuz-*"))), "-initrd", str(initramfs)),
        *("-append", append, "-serial", "stdio"),
    ]
    told = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=WITHIN_S, check=True
    )
    return list(filter(None, map(_line, told.stdout.decode(errors="replace").splitlines())))


def _line(text: str) -> Line | None:
    at, _, rest = text.strip().partition(" ")
    event, *more = rest.split() or [""]
    try:
        return Line(at_s=float(at), event=event, more=tuple(more))
    except ValueError:
        # The firmware's or the kernel's own words.
        return None


def _unpacked_kernel() -> Path:
    target = CACHE / "kernel-with-watchdogs"
    if target.exists():
        return target
    CACHE.mkdir(parents=True, exist_ok=True)
    depends = run(["apt-cache", "depends", KERNEL_PACKAGE])
    package = next(line.split()[-1] for line in depends.splitlines() if "Depends: linux-im" in line)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        # A relative target: apt-get downloads into its working folder.
        run(["env", "-C", scratch, "apt-get", "--quiet", "download", package], deadline_s=300)
        unpacked = Path(scratch) / "kernel"
        run(["dpkg", "-x", str(next(Path(scratch).glob("*.deb"))), str(unpacked)], deadline_s=120)
        unpacked.rename(target)
    return target


def _initramfs(kernel: Path, folder: Path) -> Path:
    root = folder / "root"
    for name in ("proc", "sys", "dev", "modules"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for module in MODULES:
        shutil.copy(next(kernel.rglob(f"{module}.ko")), root / "modules")
    run(["gcc", "-O2", "-static", "-s", "-o", str(root / "init"), str(HERE / "watchdog_init.c")])
    shutil.copy(HERE / "watchdog_guest_script.py", root / "guest.py")
    loaded = json.loads(run([str(PYTHON), "-S", "-B", "-c", _LOADED, str(ROOT)]))
    objects = [str(PYTHON), *(file for file in loaded if file.endswith(".so"))]
    for file in {PYTHON, *map(Path, loaded), *_libraries(objects)}:
        target = root / (file.relative_to(ROOT) if ROOT in file.parents else file.relative_to("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    archive = subprocess.run(
        ["cpio", "--create", "--format=newc", "--quiet", "--directory", str(root)],
        input=names.encode(),
        capture_output=True,
        check=True,
    ).stdout
    image = folder / "initramfs.gz"
    image.write_bytes(gzip.compress(archive, compresslevel=1))
    return image


def _libraries(objects: list[str]) -> set[Path]:
    """Find the shared libraries of programs and modules, the loader among them."""
    words = run(["ldd", *objects]).split()
    return {Path(word) for word in words if word.startswith("/") and not word.endswith(":")}
