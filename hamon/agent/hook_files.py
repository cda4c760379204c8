"""Puts the gate (qemu_hook.py) where libvirt calls it, and says whether it is still there."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from hamon.agent import qemu_hook
from hamon.agent.permits import HostFolders
from hamon.errors import ConfigError

_MARK = "# Written by `hamon agent install-hook`; do not edit."

_HOOK = """\
#!/bin/sh
{mark}
# Only `prepare` may fail. Without Python or the script it does, and so refuses the start; a
# failing `reconnect` would kill guests that run, so everything else ends well.
case "$2" in
prepare) exec {command} "$@" ;;
migrate) {command} "$@" || : ;;
esac
exit 0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookFile:
    """One file of the gate as it should be."""

    path: Path
    content: bytes
    mode: int

    def is_installed(self) -> bool:
        """Say whether the file is there, unchanged and executable where it has to be."""
        try:
            mode = self.path.stat().st_mode
            return self.path.read_bytes() == self.content and mode & self.mode == self.mode
        except OSError:
            return False


def install_hook(hooks_dir: Path, folders: HostFolders, boot_id_file: Path) -> bool:
    """Install the gate as libvirt's ``qemu`` hook. Idempotent.

    A hook of somebody else is kept: the gate then goes into ``qemu.d``, which libvirt runs as well.

    Returns:
        True when something was written: libvirtd finds its first hook only when it starts.

    Raises:
        ConfigError: the folder cannot be written.
    """
    try:
        folders.make()
        is_changed = False
        for file in hook_files(hooks_dir, folders, boot_id_file):
            if file.is_installed():
                continue
            file.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = file.path.with_name(f".{file.path.name}.new")
            fresh.write_bytes(file.content)
            fresh.chmod(file.mode)
            # In one step: libvirt never runs half a hook.
            fresh.replace(file.path)
            is_changed = True
    except OSError as error:
        raise ConfigError(str(hooks_dir), "", f"the hook cannot be installed: {error}") from error
    return is_changed


def uninstall_hook(hooks_dir: Path, folders: HostFolders) -> bool:
    """Take the gate away: from now on every guest starts here, protected or not. Idempotent.

    A hook of somebody else stays. So does the list of protected guests: a gate that is installed
    again refuses what it refused before, until the agent has looked.

    Returns:
        True when there was one.

    Raises:
        ConfigError: it cannot be removed.
    """
    places = (_main_hook(hooks_dir), _hook_beside(hooks_dir))
    try:
        found = [path for path in places if path.exists() and _is_own(path)]
        for path in found:
            path.unlink()
        # Last: a hook without its script would refuse every start.
        _script_path(folders).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(str(hooks_dir), "", f"the hook cannot be removed: {error}") from error
    return bool(found)


def is_hook_installed(hooks_dir: Path, folders: HostFolders, boot_id_file: Path) -> bool:
    """Say whether the gate stands as :func:`install_hook` would put it."""
    return all(file.is_installed() for file in hook_files(hooks_dir, folders, boot_id_file))


def hook_files(
    hooks_dir: Path, folders: HostFolders, boot_id_file: Path
) -> tuple[HookFile, HookFile]:
    """Tell both files of the gate: the script, and then the hook that calls it."""
    script = HookFile(
        path=_script_path(folders),
        content=Path(qemu_hook.__file__).read_bytes(),
        mode=0o644,
    )
    # The interpreter itself, not the link in a virtual environment that may be replaced.
    python = os.path.realpath(sys.executable)
    folder_arguments = (folders.run_dir, folders.state_dir, boot_id_file)
    command = shlex.join([python, "-IS", str(script.path), *map(str, folder_arguments)])
    hook = HookFile(
        path=_hook_path(hooks_dir),
        content=_HOOK.format(mark=_MARK, command=command).encode(),
        mode=0o755,
    )
    return script, hook


def _script_path(folders: HostFolders) -> Path:
    return folders.state_dir / "qemu_hook.py"


def _hook_path(hooks_dir: Path) -> Path:
    main = _main_hook(hooks_dir)
    is_foreign = main.exists() and not _is_own(main)
    return _hook_beside(hooks_dir) if is_foreign else main


def _main_hook(hooks_dir: Path) -> Path:
    return hooks_dir / "qemu"


def _hook_beside(hooks_dir: Path) -> Path:
    return hooks_dir / "qemu.d" / "hamon"


def _is_own(hook: Path) -> bool:
    return _MARK.encode() in hook.read_bytes()
