"""The meaning of an HDF5 dataset's voxels: in which attributes it is kept, read and written.

Axes are read from ``axistags`` (vigra, ilastik), from ``axes``, or from labels of dimensions
(and ``element_size_um`` is of z, y and x, so three axes are these). The
voxel size is read from ``resolution`` with ``offset`` and ``units`` (funlib, CREMI), from the
resolutions in ``axistags``, or from ``element_size_um`` (Fiji: z, y, x in micrometers). All of
them are written.
"""

from __future__ import annotations

import json
from typing import Any

import h5py
import numpy as np

from ..base.checks import default_axes
from ..base.info import Meaning
from .layout import axistags

_Numbers = tuple[float, ...]


def meaning_of_dataset(dataset: h5py.Dataset) -> Meaning:
    """What the attributes of a dataset say about its voxels."""
    ndim = dataset.ndim
    tags = _tags(dataset.attrs.get("axistags"), ndim)
    letters = _letters(tags, dataset)
    axes = letters or default_axes(ndim)
    size, units, origin = _scale(dataset, tags, axes)
    drange = _numbers(dataset.attrs.get("drange"), 2)
    texts = tuple(str(tag.get("description", "")) for tag in tags) if tags else ()
    return Meaning(
        axes=axes,
        axes_from="file" if letters else "guess",
        voxel_size=size,
        units=units,
        origin=origin,
        drange=(drange[0], drange[1]) if drange else None,
        descriptions=texts if any(texts) else None,
    )


def write_meaning(dataset: h5py.Dataset, meaning: Meaning) -> None:
    """Note in a dataset's attributes what is known of its voxels; a guess of axes is not noted.

    Parameters
    ----------
    dataset : h5py.Dataset
        Open for writing.
    meaning : Meaning
    """
    attributes = dataset.attrs
    if meaning.guessed:
        del attributes["axistags"]
    else:
        attributes["axistags"] = axistags(meaning.axes, meaning.voxel_size, meaning.descriptions)
        for axis, letter in enumerate(meaning.axes):
            dataset.dims[axis].label = letter
    if meaning.drange is not None:
        attributes["drange"] = meaning.drange
    if meaning.voxel_size is None:  # which is true of each axis, whatever its name
        return
    attributes["resolution"] = meaning.voxel_size
    if meaning.units is not None:
        attributes["units"] = list(meaning.units)
    if meaning.origin is not None:
        attributes["offset"] = meaning.origin
    if (micrometers := meaning.micrometers()) is not None:
        attributes["element_size_um"] = micrometers


def _tags(text: object, ndim: int) -> list[dict[str, Any]]:
    """The entries of ``axistags``; empty if they are no such, or don't fit."""
    if not isinstance(text, str | bytes):
        return []
    try:
        tags = list(json.loads(text)["axes"])
        keys = [tag["key"] for tag in tags]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
    sound = all(isinstance(key, str) and len(key) == 1 for key in keys)
    return tags if sound and len(keys) == ndim == len(set(keys)) else []


def _letters(tags: list[dict[str, Any]], dataset: h5py.Dataset) -> str | None:
    if tags:
        return "".join(tag["key"] for tag in tags)
    text = dataset.attrs.get("axes")
    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    labels = [str(dim.label) for dim in dataset.dims]
    sized = "zyx" if dataset.ndim == 3 and _numbers(dataset.attrs.get("element_size_um"), 3) else None
    for letters in (text, "".join(labels) if all(len(label) == 1 for label in labels) else None, sized):
        if isinstance(letters, str) and len(letters) == dataset.ndim == len(set(letters)):
            return letters
    return None


def _scale(
    dataset: h5py.Dataset, tags: list[dict[str, Any]], axes: str
) -> tuple[_Numbers | None, tuple[str, ...] | None, _Numbers | None]:
    """Voxel size, units and origin."""
    attributes, ndim = dataset.attrs, dataset.ndim
    units = _texts(attributes.get("units"), ndim)
    if (size := _numbers(attributes.get("resolution"), ndim)) is not None:
        return size, units, _numbers(attributes.get("offset"), ndim)
    in_tags = _numbers([tag.get("resolution", 0) for tag in tags] or None, ndim)
    if in_tags is not None and any(in_tags):
        return in_tags, units, None
    if (zyx := _numbers(attributes.get("element_size_um"), 3)) is not None:
        by_axis = dict(zip("zyx", zyx, strict=True))
        return (
            tuple(by_axis.get(axis, 0.0) for axis in axes),
            tuple("um" if axis in by_axis else "" for axis in axes),
            None,
        )
    return None, None, None


def _numbers(value: object, count: int) -> _Numbers | None:
    """`count` finite numbers, none of them negative infinity or so; else None."""
    if value is None:
        return None
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        return None
    return tuple(float(number) for number in numbers)


def _texts(value: object, count: int) -> tuple[str, ...] | None:
    """One text per axis; a single one is for all."""
    if isinstance(value, str | bytes):
        value = [value] * count
    if not isinstance(value, list | tuple | np.ndarray) or len(value) != count:
        return None
    return tuple(item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in value)
