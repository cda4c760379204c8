"""A guest of QEMU with an emulated Intel 6300ESB watchdog, and hamon's own adapter in it.

Its kernel is Debian's, downloaded and unpacked once; its Python is this machine's, with the modules
that the adapter loads and no more.
"""

import gzip
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.names import CACHE
from lab.processes import run

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTHON = Path("/usr/bin/python3.11")
PROGRAMS = ("qemu-system-x86_64", "gcc", "cpio", "dpkg", "apt-get")
KERNEL_PACKAGE = "linux-image-amd64"
MODULES = ("watchdog", "i6300esb", "e1000")
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
    """Boot the guest, have it do something, and return what it told until it was no more."""
    root = folder / "root"
    loaded = json.loads(run([str(PYTHON), "-S", "-B", "-c", _LOADED, str(ROOT)]))
    copy(root, [*map(Path, loaded)], below=ROOT)
    told = subprocess.run(
        command(folder, HERE / "watchdog_guest_script.py", what, nowayout=nowayout),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=WITHIN_S,
        check=True,
    )
    return told_lines(told.stdout.decode(errors="replace"))


def told_lines(output: str) -> list[Line]:
    """Return what the guest told; a line that its end cut short tells nothing."""
    whole = (line for line in output.splitlines(keepends=True) if line.endswith("\n"))
    return list(filter(None, map(_line, whole)))


def command(folder: Path, script: Path, what: str = "", *, nowayout: bool) -> list[str]:
    """Build the guest's image from ``folder``/root; return the words that boot it.

    QEMU ends when the guest powers off, and when its watchdog fires. The host's loopback is
    10.0.2.2 in the guest.

    Args:
        folder: of the test; what the script loads is below ``root`` already, see :func:`copy`.
        script: what the guest runs.
        what: the last word of the kernel's command line.
        nowayout: how the driver is loaded.
    """
    kernel = _unpacked_kernel()
    initramfs = _initramfs(kernel, folder, script)
    append = f"console=ttyS0 quiet panic=-1 mitigations=off driver.nowayout={int(nowayout)} {what}"
    return [
        *("qemu-system-x86_64", "-accel", "tcg", "-m", "512", "-display", "none", "-nodefaults"),
        *("-no-reboot", "-device", "i6300esb", "-action", "watchdog=poweroff"),
        *("-netdev", "user,id=net", "-device", "e1000,netdev=net"),
        *("-kernel", str(next(kernel.glob("boot/vmlinuz-*"))), "-initrd", str(initramfs)),
        *("-append", append, "-serial", "stdio"),
    ]


def copy(root: Path, files: Iterable[Path], *, below: Path = Path("/")) -> None:
    """Copy files into the guest, with the libraries they need; those ``below`` to its root."""
    wanted = set(files)
    objects = [str(PYTHON), *(str(file) for file in wanted if file.suffix == ".so")]
    for file in {PYTHON, *wanted, *_libraries(objects)}:
        start = below if below in file.parents else Path("/")
        target = root / file.relative_to(start)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)


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


def _initramfs(kernel: Path, folder: Path, script: Path) -> Path:
    root = folder / "root"
    for name in ("proc", "sys", "dev", "modules"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for module in MODULES:
        shutil.copy(next(kernel.rglob(f"{module}.ko")), root / "modules")
    run(["gcc", "-O2", "-static", "-s", "-o", str(root / "init"), str(HERE / "watchdog_init.c")])
    shutil.copy(script, root / "guest.py")
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
