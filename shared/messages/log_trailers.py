"""The lines by which a worker's log says which task printed what stands before them."""

from __future__ import annotations

from .engine import Lease

TRAILER = b"\x1e"


def trailer(job: str, block: int, attempt: int) -> bytes:
    """The line in a worker's log that names the task which printed the text before it.

    Parameters
    ----------
    job : str
    block, attempt : int
        As in `Lease`.

    Returns
    -------
    bytes
    """
    return TRAILER + f"{job} {block} {attempt}\n".encode()


def trailer_lease(text: bytes) -> Lease | None:
    """Job, block and attempt in what follows `TRAILER`, or None where a program printed such bytes itself."""
    try:
        job, block, attempt = text.decode().split(" ")
        return Lease(job, int(block), int(attempt))
    except ValueError:
        return None
