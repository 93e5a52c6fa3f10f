"""The volumes that a worker writes blocks of."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from ..shared.geometry.roi import Roi
from ..shared.messages import engine as wire
from ..shared.volumes.registry import Address, format_named


class WorkerOutput(Protocol):
    """An output as a worker has it open."""

    def write(self, roi: Roi, data: NDArray[Any]) -> None:
        """Write a block."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


def address_of(place: wire.VolumePlace) -> Address:
    """The address of a place."""
    return Address(place.format, place.file, place.internal)


def open_output(recipe: wire.Recipe) -> WorkerOutput | None:
    """The output that the workers of a job write; None if they write none.

    Raises
    ------
    JobError, StorageError
        If it can't be opened.
    """
    if (place := recipe.output) is None:
        return None
    kind = format_named(place.format)
    return kind.open_to_write(address_of(place), job=recipe.job_hash, durability=recipe.durability)
