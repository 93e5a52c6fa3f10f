"""Where a run takes place: its folder, its environment, the processes that belong to it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

SHAPE, BLOCK = (48, 64, 64), (16, 16, 32)
BLOCKS = 3 * 4 * 2


class Scene:
    """A folder with the input in it, and whatever is started there.

    Attributes
    ----------
    folder : Path
        Jobs and outputs lie in it; it is the temporary folder of all processes, too.
    runtime : Path
        The run-time folder (XDG_RUNTIME_DIR).
    volume : ndarray
        The input's voxels.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.folder = Path(tempfile.mkdtemp(prefix=f"chaos{seed}-"))
        self.runtime = self.folder / "rt"
        self.runtime.mkdir(mode=0o700)
        self.socket = str(self.runtime / "blockmill" / "service.sock")
        self._token = f"CHAOS_TOKEN={self.folder.name}".encode()
        self._environ = os.environ | {
            "XDG_RUNTIME_DIR": str(self.runtime),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "TMPDIR": str(self.folder),
            "CHAOS_TOKEN": self.folder.name,
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.volume = np.random.default_rng(seed).integers(0, 255, SHAPE, np.uint8)
        np.save(self.folder / "in.npy", self.volume)

    def aim(self) -> Literal["trial", "work", "else"]:
        """The phase of a job that the next signal is for."""
        return self.rng.choices(("trial", "work", "else"), (2, 2, 1))[0]

    def start(self, *arguments: str, log: IO[bytes] | None = None) -> subprocess.Popen[str]:
        """Start a command of blockmill; its output goes to `log`, or into pipes."""
        out = subprocess.PIPE if log is None else log
        return subprocess.Popen(
            [sys.executable, "-m", "blockmill", *arguments],
            env=self._environ,
            cwd=self.folder,
            text=True,
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
        )

    def output_of(self, *arguments: Any) -> str:
        """What a command prints; nothing where it hangs."""
        with self.start(*map(str, arguments)) as process:
            try:
                return process.communicate(timeout=60)[0]
            except subprocess.TimeoutExpired:
                process.kill()
                return ""

    def processes(self) -> list[int]:
        """Those that were started here or descend from such, and live."""
        return [int(pid) for pid in filter(str.isdigit, os.listdir("/proc")) if self._is_ours(pid)]

    def _is_ours(self, pid: str) -> bool:
        try:
            if self._token not in Path(f"/proc/{pid}/environ").read_bytes():
                return False
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:  # it has ended, or belongs to somebody else
            return False

    def text_of(self, name: str) -> str:
        """A log so far."""
        path = self.folder / name
        return path.read_text(errors="replace") if path.exists() else ""


def command_of(pid: int) -> str:
    """The command line of a process, its beginning."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:120]
    except OSError:
        return "?"
