"""Facts about this machine that decide what a file can tell: its boot, and the kind of a file's disk."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LOCAL_KINDS = frozenset(
    (
        0xEF53,  # ext2, ext3, ext4
        0x58465342,  # xfs
        0x9123683E,  # btrfs
        0x2FC12FC1,  # zfs
        0xF2F52010,  # f2fs
        0xCA451A4E,  # bcachefs
        0x3153464A,  # jfs
        0x01021994,  # tmpfs
        0x794C7630,  # overlay
    )
)
"""File systems with one machine as their only user, by the number that statfs(2) gives to each."""

_libc = ctypes.CDLL(None, use_errno=True)
_STATFS_BYTES = 256  # more than any system's structure


@functools.lru_cache(maxsize=1)
def boot_id() -> str:
    """Identifies the running boot of this machine, in all its containers; empty if it has no such number."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def on_local_disk(fd: int) -> bool:
    """Test if an open file is on a file system that this machine has for itself; False if in doubt.

    What another process has written to such a file is seen at once, synced or not.
    """
    facts = (ctypes.c_uint32 * (_STATFS_BYTES // 4))()  # it begins with the kind
    return _libc.fstatfs(fd, facts) == 0 and facts[0] in _LOCAL_KINDS
