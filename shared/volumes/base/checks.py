"""Checks and guesses that every kind of volume shares."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import JobError
from ...geometry.roi import Roi
from ...masked_arrays import is_masked

_USUAL_AXES = "tczyx"
_MORE_AXES = "nopqrsuvw"
_NUMBER_KINDS = "biufc"


def default_axes(ndim: int) -> str:
    """Axes of an array that has none of its own: the last letters of ``tczyx``.

    Raises
    ------
    JobError
        If there are more axes than letters.
    """
    letters = _MORE_AXES + _USUAL_AXES
    if not 1 <= ndim <= len(letters):
        raise JobError(f"an array of {ndim} axes is no volume; between 1 and {len(letters)} are supported")
    return letters[-ndim:]


def checked_axes(axes: str | None, ndim: int, where: str) -> str:
    """Check that axes have one distinct letter per axis.

    Parameters
    ----------
    axes : str or None
        None stands for `default_axes`.
    ndim : int
        Number of axes.
    where : str
        Name of the volume in the error.

    Returns
    -------
    str
        `axes`, or the default.

    Raises
    ------
    JobError
        If they don't fit.
    """
    if axes is None:
        try:
            return default_axes(ndim)
        except JobError as error:
            raise JobError(f"{where}: {error}") from error
    if len(axes) != ndim or len(set(axes)) != ndim:
        raise JobError(f"axes {axes!r} must name each of the {ndim} axes of {where} by a letter of its own")
    return axes


def checked_dtype(dtype: np.dtype, where: str) -> np.dtype:
    """Check that the elements are plain numbers or bools.

    Parameters
    ----------
    dtype : numpy.dtype
    where : str
        Name of the volume in the error.

    Returns
    -------
    numpy.dtype
        `dtype` itself.

    Raises
    ------
    JobError
        If they are something else.
    """
    if dtype.kind not in _NUMBER_KINDS:
        raise JobError(f"{where} has dtype {dtype}; only numbers and bools are supported")
    return dtype


def check_out(roi: Roi, out: Any) -> None:
    """Refuse a destination of another shape than the roi.

    Parameters
    ----------
    roi : Roi
    out : ndarray or h5py.Dataset
        The destination of a read.

    Raises
    ------
    ValueError
        With both shapes.
    """
    if tuple(out.shape) != roi.shape:
        raise ValueError(f"out has shape {list(out.shape)}, the roi {roi} has {list(roi.shape)}")


def check_data(roi: Roi, data: Any, dtype: np.dtype, where: str) -> None:
    """Refuse data of another shape or dtype, or with a mask: nothing is cropped, cast or dropped in silence.

    Parameters
    ----------
    roi : Roi
    data : ndarray
        The voxels to write.
    dtype : numpy.dtype
        That of the volume.
    where : str
        Name of the volume in the error.

    Raises
    ------
    ValueError
        With both shapes, or both dtypes.
    """
    if is_masked(data):
        raise ValueError(
            "the data is a masked array, and a volume has no mask; fill it first: data.filled(0)"
        )
    if tuple(data.shape) != roi.shape:
        raise ValueError(f"the data has shape {list(data.shape)}, the roi {roi} has {list(roi.shape)}")
    if data.dtype != dtype:
        raise ValueError(
            f"the data has dtype {data.dtype}, {where} has {dtype}; convert it first, for instance by "
            f"data.astype({dtype.name!r})"
        )
