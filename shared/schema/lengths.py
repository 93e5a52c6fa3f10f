"""Lengths in a job file: one number for the spatial axes, a list, or a mapping that names axes."""

from __future__ import annotations

from typing import Any

from ..errors import JobError

_SPATIAL = "xyz"
_NEVER_SPATIAL = "tc"


def spatial_axes(axes: str) -> str:
    """Those of `axes` that are lengths: x, y and z; of a volume without these, all but t and c."""
    spatial = "".join(letter for letter in axes if letter in _SPATIAL)
    return spatial or "".join(letter for letter in axes if letter not in _NEVER_SPATIAL)


def per_axis(value: Any, axes: str, what: str, unnamed: Any = 0) -> tuple[Any, ...]:
    """A length as a job file has it, with an entry per axis.

    Parameters
    ----------
    value : number, tuple of numbers, or dict
        One number is for the spatial axes, a tuple has an entry per axis, and a mapping such as
        ``{"z": 1, "yx": 2}`` names axes.
    axes : str
        One letter per axis of the volume.
    what : str
        The key, for the error.
    unnamed : number
        The length along an axis that is not named; it gets the type of the others.

    Returns
    -------
    tuple of numbers

    Raises
    ------
    JobError
        If a tuple has another length, or a mapping names an axis that the volume lacks.
    """
    if isinstance(value, tuple):
        if len(value) == len(axes):
            return value
        raise JobError(
            f"{what} has {len(value)} entries, the volume has {len(axes)} axes ({axes}); "
            "give one per axis, or a single number for the spatial axes"
        )
    named = value if isinstance(value, dict) else {spatial_axes(axes): value}
    by_axis = {letter: width for letters, width in named.items() for letter in letters}
    if not by_axis:
        raise JobError(
            f"{what}: a single number is for the spatial axes, and the volume has none among {axes}; "
            f"name them, as in {{{axes[-1]}: {value}}}, or say what the axes are with input.axes"
        )
    if absent := "".join(letter for letter in by_axis if letter not in axes):
        raise JobError(f"{what}: the volume has no axis {', '.join(absent)}; its axes are {axes}")
    rest = type(next(iter(by_axis.values())))(unnamed)
    return tuple(by_axis.get(letter, rest) for letter in axes)
