"""A toy format, as a package of its own brings it: a folder with a header and a raw file for each slab."""

import json
import os
import shutil
from pathlib import Path

import numpy as np

from blockmill.shared.errors import JobError, OutputRefused, StorageError
from blockmill.shared.files.atomic import write_atomically
from blockmill.shared.files.places import Place
from blockmill.shared.geometry.slicing import as_roi
from blockmill.shared.schema.fields import Extent
from blockmill.shared.volumes.base.array_volume import ArrayVolume
from blockmill.shared.volumes.base.checks import check_data, check_out, checked_axes
from blockmill.shared.volumes.base.claims import Claims, Tree
from blockmill.shared.volumes.base.format import Address, DiskCost, Format
from blockmill.shared.volumes.base.output_options import OutputOptions
from blockmill.shared.volumes.base.suffixes import cut_at_file


class SlabOptions(OutputOptions):
    """The slabs that are written.

    Attributes
    ----------
    thickness : int
        Of slabs: voxels along the first axis.
    """

    layout = ("thickness",)
    thickness: Extent = 4


class SlabVolume(ArrayVolume):
    """An array in slabs along its first axis."""

    def __init__(self, path, mode="r"):
        self._path, self._mode, self._closed = Path(path), mode, False
        try:
            self._header = json.loads((self._path / "header.json").read_bytes())
        except FileNotFoundError:
            raise JobError(f"{path} holds no slabs") from None

    shape = property(lambda self: tuple(self._header["shape"]))
    dtype = property(lambda self: np.dtype(self._header["dtype"]))
    axes = property(lambda self: self._header["axes"])
    address = property(lambda self: str(self._path))
    block_shape = property(lambda self: (self._header["thickness"], *self.shape[1:]))

    def _slab(self, number):
        """The voxels of a slab; zeros if it was never written."""
        first = number * self.block_shape[0]
        shape = (min(self.block_shape[0], self.shape[0] - first), *self.shape[1:])
        path = self._path / f"{number}.raw"
        if not path.exists():
            return np.zeros(shape, self.dtype)
        content = path.read_bytes()
        if len(content) != np.dtype(self.dtype).itemsize * np.prod(shape):
            raise StorageError(f"{path} is cut off")
        return np.frombuffer(content, self.dtype).reshape(shape).copy()

    def _parts(self, roi):
        """(number of a slab, its voxels in the slab, in the roi) along the first axis."""
        thickness = self.block_shape[0]
        for number in range(roi.start[0] // thickness, -(-roi.stop[0] // thickness)):
            begin = max(roi.start[0], number * thickness)
            end = min(roi.stop[0], (number + 1) * thickness)
            inside = slice(begin - number * thickness, end - number * thickness)
            yield number, (inside, *roi.to_slice()[1:]), slice(begin - roi.start[0], end - roi.start[0])

    def read(self, roi=None, out=None):
        if self._closed:
            raise StorageError(f"{self._path} was closed")
        roi = as_roi(roi, self.shape)
        roi.check_within(self.shape, self.address)
        voxels = np.empty(roi.shape, self.dtype) if out is None else out
        check_out(roi, voxels)
        for number, inside, part in self._parts(roi):
            voxels[part] = self._slab(number)[inside]
        return voxels

    def write(self, roi, data):
        roi = as_roi(roi, self.shape)
        roi.check_within(self.shape, self.address)
        check_data(roi, data, self.dtype, self.address)
        for number, inside, part in self._parts(roi):
            slab = self._slab(number)
            slab[inside] = data[part]
            write_atomically(str(self._path / f"{number}.raw"), slab.tobytes())

    def close(self):
        self._closed = True


class Slab(Format):
    """Slabs: workers write them, the ledger notes what is finished."""

    name = "slab"
    spelling = "'x.slab' (slabs)"
    writers = "workers"
    cost = DiskCost(by_unit=True, files_beside=3)

    def parse(self, path):
        return Address(self.name, path) if path.endswith(".slab") and cut_at_file(path) is None else None

    def recognise(self, look):
        return Address(self.name, look.path) if "header.json" in look.names else None

    def check_there(self, at, text):
        if not Path(at.file).is_dir():
            raise JobError(f"{at.file} does not exist; the address {text!r} names it")

    def open(self, at):
        return SlabVolume(at.file)

    def reads(self, at, *, follow_links=True):
        return Claims((Place.of(f"{at.file}/header.json"),), (Tree(Place.of(at.file)),))

    def options(self):
        return SlabOptions

    def write_unit(self, options, shape, axes):
        return (min(options.thickness, shape[0]), *shape[1:])

    def claims(self, at):
        return Claims((), (Tree(Place.of(at.file)),))

    def create(self, at, new, *, reserve=True):
        header = {
            "shape": new.shape,
            "dtype": new.dtype.str,
            "axes": checked_axes(new.meaning.axes, len(new.shape), at.file),
            "thickness": new.unit[0],
        }
        os.mkdir(at.file)
        Path(at.file, "header.json").write_text(json.dumps(header))

    def open_to_write(self, at, *, job="", durability="none"):
        return SlabVolume(at.file, "r+")

    def check_replaceable(self, at, check):
        if os.path.lexists(at.file) and not Path(at.file, "header.json").is_file():
            raise OutputRefused(f"{at.file} holds no slabs; name another output")

    def remove(self, at, new, check, tell):
        shutil.rmtree(at.file, ignore_errors=not os.path.lexists(at.file))

    def give_name(self, partial, at):
        if os.path.lexists(at.file):
            raise FileExistsError(at.file)
        os.rename(partial.file, at.file)
