"""Blocks of Python objects, each a pickle in a dataset of byte strings, as the original keeps them.

To unpickle a file is to run the code in it. So nothing here is used unless somebody asks for it
by name: `BlockwiseFileset` refuses dtype object without ``allow_pickle=True``, and no address, job or
service ever passes that.
"""

from __future__ import annotations

import pickle

import h5py
import numpy as np
from numpy.typing import NDArray

from ...errors import CorruptBlock

PICKLE_DTYPE = h5py.vlen_dtype(np.uint8)
# What every Python can read, the original's Python 2 included.
_PROTOCOL = 0


def pickled(data: NDArray) -> NDArray:
    """Pickle each element of an array, by protocol 0.

    Returns
    -------
    ndarray of `PICKLE_DTYPE`
        Of the same shape.

    Raises
    ------
    ValueError
        With the first element that can't be pickled.
    """
    texts = np.empty(data.shape, PICKLE_DTYPE)
    for index in np.ndindex(data.shape):
        try:
            texts[index] = np.frombuffer(pickle.dumps(data[index], _PROTOCOL), np.uint8)
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"the element at {list(index)} can't be pickled: {error}") from error
    return texts


def unpickled(texts: NDArray) -> NDArray:
    """Unpickle each element of an array.

    Returns
    -------
    ndarray of object
        None where nothing was written (where the original fails).

    Raises
    ------
    CorruptBlock
        If it does not hold byte strings, or one is no pickle.
    """
    if h5py.check_vlen_dtype(texts.dtype) != np.uint8:
        raise CorruptBlock(f"its dataset has dtype {texts.dtype}, expected strings of bytes that are pickles")
    objects = np.empty(texts.shape, object)
    for index in np.ndindex(texts.shape):
        if not len(texts[index]):
            continue
        try:
            objects[index] = pickle.loads(texts[index].tobytes())  # noqa: S301 - asked for by name
        except Exception as error:  # a pickle may raise anything
            raise CorruptBlock(f"its element {list(index)} can't be unpickled ({error!r})") from error
    return objects


class PickleCodec:
    """Converts Python objects to a layout of `PICKLE_DTYPE` for a store's files, and back."""

    encode = staticmethod(pickled)
    decode = staticmethod(unpickled)
