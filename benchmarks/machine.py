"""Describes the machine and the versions with which something was measured."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

DISTURBING = ("PYTHONDONTWRITEBYTECODE", "OPENBLAS_CORETYPE")
"""Variables that slow some contenders down: imports without caches, kernels for another processor."""

_PACKAGES = (
    "blockmill", "numpy", "h5py", "pyzmq", "msgspec", "scipy", "portalocker", "isal", "deflate", "numcodecs",
    "daisy", "dask", "distributed", "joblib", "loky", "ray", "hdf5plugin",
)  # fmt: skip


def restart_undisturbed() -> None:
    """Start this program again without the variables that disturb, if any of them is set."""
    if any(name in os.environ for name in DISTURBING):
        environ = {name: value for name, value in os.environ.items() if name not in DISTURBING}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ)


def description() -> dict[str, Any]:
    """The machine, its load now, and the versions of all packages that take part."""
    import h5py

    return {
        "time": time.strftime("%Y-%m-%d %H:%M:%S"),
        "load": [round(value, 2) for value in os.getloadavg()],
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "hdf5": h5py.version.hdf5_version,
        "revision": _revision(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name)) is not None},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


def _revision() -> str:
    here = Path(__file__).parent
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
