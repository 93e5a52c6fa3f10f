"""Small file systems for tests: they get full, break, or lose their power. Only root may mount them."""

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

SHUTDOWN, WITHOUT_FLUSH = 0x8004587D, 2  # EXT4_IOC_SHUTDOWN


def need_root(*programs):
    """Skip the test unless it may mount file systems, and these programs are there."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts a file system")
    if missing := [name for name in ("mount", "umount", *programs) if shutil.which(name) is None]:
        pytest.skip(f"there is no {', '.join(missing)}")


def _mount(*args):
    done = subprocess.run(["mount", *args], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")


class MemoryDisk:
    """A tmpfs; its options, such as size or nr_inodes, can be changed later."""

    def __init__(self, root, **options):
        self.root = root
        root.mkdir()
        _mount("-t", "tmpfs", "-o", self._text(options), "tmpfs", str(root))

    @staticmethod
    def _text(options):
        return ",".join(f"{key}={value}" for key, value in options.items())

    def change(self, **options):
        subprocess.run(["mount", "-o", f"remount,{self._text(options)}", self.root], check=True)

    @classmethod
    @contextlib.contextmanager
    def mounted(cls, root, **options):
        need_root()
        made = cls(root, **options)
        try:
            yield made
        finally:
            subprocess.run(["umount", "-l", root], check=True)


class Disk:
    """A small ext4 in a file, whose power can be cut, or whose medium can fail."""

    def __init__(self, folder, options="loop"):
        self.image, self.root, self._options = folder / "image", folder / "mnt", options
        self.root.mkdir()
        with open(self.image, "wb") as file:
            file.truncate(64 << 20)
        subprocess.run(["mkfs.ext4", "-q", self.image], check=True)
        self.mount()

    @classmethod
    @contextlib.contextmanager
    def mounted(cls, folder, options="loop"):
        need_root("mkfs.ext4")
        made = cls(folder, options)
        try:
            yield made
        finally:
            subprocess.run(["umount", "-l", made.root], check=True)

    def mount(self):
        _mount("-o", self._options, str(self.image), str(self.root))

    def cut_power(self):
        """Lose all that is not on the medium; names get there by a sync, or else some seconds later."""
        with open(self.root / "unsynced", "w") as file:
            file.write("lost")
        with open(self.root / "synced", "w") as file:
            file.write("kept")
            file.flush()
            os.fsync(file.fileno())
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", WITHOUT_FLUSH))
        finally:
            os.close(descriptor)

    def back(self):
        subprocess.run(["umount", self.root], check=True)
        self.mount()
        assert (self.root / "synced").read_text() == "kept"
        assert (self.root / "unsynced").read_text() == ""

    def fail(self):
        """Have the kernel find an error, so that it allows no more writes."""
        device = subprocess.run(
            ["findmnt", "-no", "SOURCE", self.root], capture_output=True, text=True, check=True
        )
        trigger = Path("/sys/fs/ext4") / Path(device.stdout.strip()).name / "trigger_fs_error"
        if not trigger.exists():
            pytest.skip("this kernel has no trigger_fs_error")
        trigger.write_text("a test")

    def repair(self):
        subprocess.run(["umount", "-l", self.root], check=True)
        subprocess.run(["e2fsck", "-fy", self.image], capture_output=True)  # its exit code says: repaired
        self.mount()
