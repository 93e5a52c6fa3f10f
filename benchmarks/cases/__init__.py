"""The cases, each a function of a `Bench`; imported only when they run."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

CASES = {
    "noop": "noop:noop",
    "read_raw_64": "read:raw_64",
    "read_raw_128": "read:raw_128",
    "read_fresh_64": "read:fresh_64",
    "read_fresh_128": "read:fresh_128",
    "read_gzip_64": "read:gzip_64",
    "read_gzip_128": "read:gzip_128",
    "read_zstd_64": "read:zstd_64",
    "read_blosc2_64": "read:blosc2_64",
    "write_raw_64": "write:raw_64",
    "write_raw_128": "write:raw_128",
    "write_gzip_128": "write:gzip_128",
    "fileset_raw_64": "fileset:raw_64",
    "lock": "lock:uncontended",
    "lock_contended": "lock:contended",
    "results": "results:results",
    "gaussian": "smooth:gaussian",
    "cold_start": "coldstart:cold_start",
    "memory": "memory:memory",
    "growth_noop": "growth:noop",
    "growth_copy": "growth:copied",
}


def load(name: str) -> Callable[[Any], None]:
    """Import the function of a case."""
    module, _, function = CASES[name].partition(":")
    return getattr(importlib.import_module(f"cases.{module}"), function)
