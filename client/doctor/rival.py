"""The other process of the check of locks: tries a lock for each line of stdin, and reports the result."""

from __future__ import annotations

import sys

from ...shared.locking.filelock import FileLock


def main(path: str) -> None:
    """Try until stdin ends."""
    lock = FileLock(path)
    for _ in sys.stdin:
        print("yes" if lock.acquire(blocking=False) else "no", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
