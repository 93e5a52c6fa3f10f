"""A fileset, seen whole and through a view, does what an array with a set of blocks does."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from blockmill.shared.errors import MissingBlock, StorageError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.description import FilesetDescription, write_description
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset

COMPRESSIONS = [{}, {"compression": "gzip"}, {"chunks": (2, 3)}, {"chunks": (9, 2), "compression": "lzf"}]


class FilesetMachine(RuleBasedStateMachine):
    @initialize(
        data=st.data(),
        shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
        block=st.tuples(st.integers(2, 6), st.integers(2, 6)),
        layout=st.sampled_from(COMPRESSIONS),
    )
    def make(self, data, shape, block, layout):
        self.directory = Path(tempfile.mkdtemp())
        whole = FilesetDescription(
            axes="yx",
            shape=shape,
            dtype="i2",
            block_shape=block,
            block_file_name_format="b-{roiString}.h5/d",
            dataset_root_dir="blocks",
            **layout,
        )
        origin = tuple(data.draw(st.integers(0, (n - 1) // b)) * b for n, b in zip(shape, block, strict=True))
        extent = tuple(data.draw(st.integers(1, n - o)) for n, o in zip(shape, origin, strict=True))
        view = replace(whole, view_origin=origin, view_shape=extent)
        self.ways = []
        for name, description in (("whole.json", whole), ("view.json", view)):
            write_description(self.directory / name, description)
            self.ways.append(BlockwiseFileset(self.directory / name, "a", job="j"))
        self.voxels = np.zeros(shape, "i2")
        self.written: set[tuple[int, ...]] = set()
        self.available: set[tuple[int, ...]] = set()

    def teardown(self):
        if hasattr(self, "directory"):
            shutil.rmtree(self.directory)

    def a_way(self, data):
        way = data.draw(st.sampled_from(self.ways))
        ends = [
            sorted(data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True)))
            for n in way.shape
        ]
        return way, Roi(*zip(*ends, strict=True))

    @staticmethod
    def absolute(way, start):
        return tuple(a + o for a, o in zip(start, way.description.origin, strict=True))

    @rule(
        data=st.data(), status=st.sampled_from(["whole", "whole", "all", "none"]), seed=st.integers(0, 2**16)
    )
    def write(self, data, status, seed):
        way, roi = self.a_way(data)
        new = np.random.default_rng(seed).integers(-99, 99, roi.shape).astype("i2")
        way.write(roi, new, status=status)
        self.voxels[roi.shifted(way.description.origin).to_slice()] = new
        for block in way.grid.touching(roi):
            start = self.absolute(way, block.start)
            self.written.add(start)
            self.available.discard(start)
            if status == "all" or (status == "whole" and roi.contains(block)):
                self.available.add(start)

    @rule(data=st.data(), available=st.booleans())
    def mark(self, data, available):
        way, roi = self.a_way(data)
        block = next(way.grid.touching(roi))
        start = self.absolute(way, block.start)
        if available and start not in self.written:
            with pytest.raises(StorageError):
                way.set_block_status(block.start, True)
            return
        way.set_block_status(block.start, available)
        (self.available.add if available else self.available.discard)(start)

    @rule(data=st.data())
    def read(self, data):
        way, roi = self.a_way(data)
        starts = [block.start for block in way.grid.touching(roi)]
        missing = [start for start in starts if self.absolute(way, start) not in self.available]
        if missing:
            with pytest.raises(MissingBlock) as caught:
                way.read(roi)
            assert caught.value.block_start == missing[0]
        else:
            wanted = self.voxels[roi.shifted(way.description.origin).to_slice()]
            np.testing.assert_array_equal(way.read(roi), wanted)

    @rule(data=st.data())
    def remove(self, data):
        way, roi = self.a_way(data)
        block = next(way.grid.touching(roi))
        way.remove_blocks(Roi(block.start, tuple(a + 1 for a in block.start)))
        start = self.absolute(way, block.start)
        self.written.discard(start)
        self.available.discard(start)
        cell = tuple(slice(a, a + n) for a, n in zip(start, way.block_shape, strict=True))
        self.voxels[cell] = 0

    @rule(data=st.data())
    def sweep(self, data):
        way, roi = self.a_way(data)
        assert way.sweep(roi) == 0

    @invariant()
    def statuses_agree_and_nothing_is_left_lying(self):
        if not hasattr(self, "ways"):
            return
        for way in self.ways:
            for block in way.block_rois():
                known = self.absolute(way, block.start) in self.available
                assert way.block_status(block.start) == known
                assert (way.verify_block(block.start, job="j") is None) == known
        names = [path.name for path in self.directory.rglob("*")]
        assert not [name for name in names if ".partial" in name or ".lock" in name]


FilesetMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestFilesetStates = FilesetMachine.TestCase
