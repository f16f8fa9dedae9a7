"""Small and read-only disks: a mount namespace of the process's own, where the kernel allows one."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def on_disk(folder: Path, options: str, command: list[str], **arguments) -> subprocess.CompletedProcess:
    """Run a command for which `folder` is a disk of its own in memory, with `options` of the mount, such as `size=64k` or `ro`."""
    folder.mkdir(parents=True, exist_ok=True)
    script = f'mount -t tmpfs -o {options} tmpfs "$0" && exec "$@"'
    if not shutil.which("unshare") or subprocess.run(_unshare("true"), capture_output=True).returncode:
        pytest.skip("this machine allows no mounts of its own")
    return subprocess.run(
        _unshare("sh", "-c", script, str(folder), *command), capture_output=True, text=True, **arguments
    )


def _unshare(*command: str) -> list[str]:
    return ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), *command]
