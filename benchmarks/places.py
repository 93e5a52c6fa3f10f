"""Where results lie, and the pages that are made of them."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
FOUND = _ROOT / "build" / "bench"
"""What was measured here; git ignores it. Quick results are in a folder `quick` in it."""
PUBLISHED = _ROOT / "benchmarks" / "results"
"""The results that the documentation tells."""
DOCS = _ROOT / "docs"
