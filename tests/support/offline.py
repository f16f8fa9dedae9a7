"""Processes without internet: the kernel ends them, and all that they start, when they open such a socket.

    python -m support.offline PROGRAM ARGUMENT...

This sees C libraries as well as Python. Sockets between processes of one machine (AF_UNIX) stay.
"""

import ctypes
import os
import platform
import socket
import struct
import sys
from pathlib import Path

# Architecture and number of the call `socket` (linux/audit.h, asm/unistd.h).
CALLS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
ALLOW, KILL_PROCESS = 0x7FFF0000, 0x80000000
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2


def environment(folder: Path, **changes: str) -> dict[str, str]:
    """Variables for `python -m support.offline`.

    When imported, urllib3 binds a socket to ::1 to learn whether there is IPv6; a `sitecustomize` in `folder` says that there is none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text("import socket\nsocket.has_ipv6 = False\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)])} | changes


def forbid_internet() -> None:
    """Install the filter in this process; those that it starts inherit it."""
    architecture, number = CALLS[platform.machine()]
    program = [
        (LOAD, 0, 0, 4),  # architecture
        (EQUAL, 0, 5, architecture),
        (LOAD, 0, 0, 0),  # number of the call
        (EQUAL, 0, 3, number),
        (LOAD, 0, 0, 16),  # its first argument, the family
        (EQUAL, 2, 0, socket.AF_INET),
        (EQUAL, 1, 0, socket.AF_INET6),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, KILL_PROCESS),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))

    libc = ctypes.CDLL(None, use_errno=True)
    given = Program(len(program), ctypes.addressof(code))
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(SECCOMP, FILTER, ctypes.byref(given), 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel takes no filter")


if __name__ == "__main__":
    forbid_internet()
    os.execvp(sys.argv[1], sys.argv[1:])
