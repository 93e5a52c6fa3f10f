"""What the voxels of a volume mean: axes, voxel size, origin, range of values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from ...errors import JobError
from ...geometry.roi import Shape
from .api import Volume

AxesSource = Literal["file", "job", "guess"]
_MICROMETERS = {"um": 1.0, "µm": 1.0, "μm": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0,
                "micrometers": 1.0, "micrometre": 1.0, "nm": 1e-3, "nanometer": 1e-3, "nanometers": 1e-3,
                "mm": 1e3, "millimeter": 1e3, "millimeters": 1e3, "m": 1e6, "meter": 1e6}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a volume's file says about its voxels, beside shape and dtype.

    Attributes
    ----------
    axes : str
        One letter per axis.
    axes_from : {"file", "job", "guess"}
        Who says so; a guess is what nobody has said.
    voxel_size : tuple of float, optional
        Extent of a voxel per axis, in `units`; 0 where it is unknown.
    units : tuple of str, optional
        Per axis; empty where it is unknown.
    origin : tuple of float, optional
        Position of the first voxel per axis, in `units`.
    drange : pair of numbers, optional
        Lowest and highest value that the voxels are meant to have.
    descriptions : tuple of str, optional
        Free text per axis, as axistags have it.
    """

    axes: str
    axes_from: AxesSource = "file"
    voxel_size: tuple[float, ...] | None = None
    units: tuple[str, ...] | None = None
    origin: tuple[float, ...] | None = None
    drange: tuple[float, float] | None = None
    descriptions: tuple[str, ...] | None = None

    @property
    def guessed(self) -> bool:
        """True if nobody has said what the axes are."""
        return self.axes_from == "guess"

    def of_part(self, start: Shape) -> Meaning:
        """The meaning of a part of the volume: its origin is elsewhere.

        Parameters
        ----------
        start : tuple of int
            First voxel of the part, per axis.

        Returns
        -------
        Meaning
        """
        if self.voxel_size is None or not any(start):
            return self
        origin = self.origin or (0.0,) * len(start)
        moved = tuple(o + n * size for o, n, size in zip(origin, start, self.voxel_size, strict=True))
        return replace(self, origin=moved)

    def reduced(self, scale: Shape) -> Meaning:
        """The meaning where each voxel stands for a box of them; its centre is that of the box.

        Parameters
        ----------
        scale : tuple of int
            Voxels of this volume for one of the other, per axis.

        Returns
        -------
        Meaning
        """
        if self.voxel_size is None or all(s == 1 for s in scale):
            return self
        origin = self.origin or (0.0,) * len(scale)
        sizes = tuple(size * s for size, s in zip(self.voxel_size, scale, strict=True))
        moved = (o + (new - old) / 2 for o, old, new in zip(origin, self.voxel_size, sizes, strict=True))
        return replace(self, voxel_size=sizes, origin=tuple(moved))

    def micrometers(self) -> tuple[float, ...] | None:
        """Voxel size of the axes z, y and x in micrometers, or None if it is not known of all three."""
        if self.voxel_size is None or self.units is None:
            return None
        by_axis = dict(zip(self.axes, zip(self.voxel_size, self.units, strict=True), strict=True))
        sizes = [by_axis.get(letter, (0.0, "")) for letter in "zyx"]
        if not all(size > 0 and unit in _MICROMETERS for size, unit in sizes):
            return None
        return tuple(size * _MICROMETERS[unit] for size, unit in sizes)


def meaning_of(volume: Volume) -> Meaning:
    """What a volume says about its voxels; of a kind that keeps nothing but axes, these alone."""
    found: Any = getattr(volume, "meaning", None)
    return found if isinstance(found, Meaning) else Meaning(axes=volume.axes)


class SaidOfInput(Protocol):
    """What a job says about its input; see the job's own model for the fields."""

    @property
    def address(self) -> str: ...
    @property
    def axes(self) -> str | None: ...
    @property
    def voxel_size(self) -> tuple[float, ...] | None: ...
    @property
    def unit(self) -> str | None: ...


def meaning_as_said(volume: Volume, said: SaidOfInput) -> tuple[Meaning, list[str]]:
    """What an input means to a job: what the job says about it wins over what the file says.

    Parameters
    ----------
    volume : Volume
        The opened input.
    said : SaidOfInput

    Returns
    -------
    Meaning, list of str
        And a note for each difference.

    Raises
    ------
    JobError
        If the job's axes or voxel size have not one entry per axis.
    """
    meaning, where = meaning_of(volume), said.address
    notes: list[str] = []
    if said.axes is not None:
        if meaning.axes_from == "file" and said.axes != meaning.axes:
            notes.append(
                f"{where} says that its axes are {meaning.axes}, the job says {said.axes}: the job's count"
            )
        meaning = _with_axes(meaning, said.axes, where)
    if (size := said.voxel_size) is not None:
        if meaning.voxel_size not in (None, size):
            notes.append(
                f"{where} says that its voxel size is {list(meaning.voxel_size or ())}, the job says "
                f"{list(size)}: the job's counts"
            )
        meaning = _with_voxel_size(meaning, size, said.unit)
    return meaning, notes


def _with_voxel_size(meaning: Meaning, size: tuple[float, ...], unit: str | None) -> Meaning:
    axes = meaning.axes
    if len(size) != len(axes):
        raise JobError(
            f"input.voxel_size has {len(size)} entries, the volume has {len(axes)} axes ({axes}); "
            "give one per axis"
        )
    units = meaning.units if unit is None else tuple(unit if axis in "xyz" else "" for axis in axes)
    return replace(meaning, voxel_size=size, units=units)


def _with_axes(found: Meaning, axes: str, where: str) -> Meaning:
    if len(axes) != len(found.axes) or len(set(axes)) != len(axes):
        raise JobError(
            f"input.axes: {axes} must name each of the {len(found.axes)} axes of {where}, each by one letter"
        )
    return replace(found, axes=axes, axes_from="job")


def guess_note(meaning: Meaning, where: str) -> str | None:
    """What a person is told of a guess that changes what is computed, or None.

    Parameters
    ----------
    meaning : Meaning
    where : str
        The input's address.

    Returns
    -------
    str or None
    """
    if not meaning.guessed or not set("tc") & set(meaning.axes):
        return None
    return (
        f"{where} does not say what its axes are: taken as {meaning.axes}. If they are others, say so: "
        f"input: {{address: {where}, axes: {meaning.axes}}}"
    )
