"""Compute threads of libraries: one in each worker, since the workers themselves fill the machine."""

from __future__ import annotations

import os
from collections.abc import Mapping

COMPUTE_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""The variables that say how many; read when numpy is imported."""


def with_one_compute_thread(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with one compute thread unless it sets their number."""
    return dict.fromkeys(COMPUTE_THREADS, "1") | dict(environ)


def have_one_compute_thread() -> None:
    """Let this process, and those that it starts, have one; to be called before numpy is imported."""
    os.environ.update(with_one_compute_thread(os.environ))
