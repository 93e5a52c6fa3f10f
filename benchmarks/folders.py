"""Folders of results and of the pages that are made from them."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
NEW_RESULTS = _ROOT / "build" / "bench"
"""Results of this machine; git ignores the folder. Quick results are in a folder `quick` in it."""
PUBLISHED_RESULTS = _ROOT / "benchmarks" / "results"
"""Results that the documentation shows."""
DOCS = _ROOT / "docs"
