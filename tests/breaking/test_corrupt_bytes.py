"""Bytes on the disk are flipped, cut, zeroed or exchanged: right voxels or an error, never others."""

import contextlib
import random
import shutil
import zlib

import numpy as np
import pytest
from breakage import KINDS, amount, copy_job

from blockmill.shared.errors import BlockmillError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.registry import open_volume

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
SHAPE = (64, 64, 64)
REFUSED = (1, 5, 6)


def flip(data, rng):
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def flip_many(data, rng):
    for _ in range(16):
        data[rng.randrange(len(data))] = rng.randrange(256)


def cut(data, rng):
    del data[rng.randrange(len(data)) :]


def empty(data, rng):
    data.clear()


def zeros(data, rng):
    at = rng.randrange(len(data))
    data[at : at + 4096] = bytes(len(data[at : at + 4096]))


def grow(data, rng):
    data += rng.randbytes(100)


def exchange(path, rng):
    others = [p for p in path.parents[0].parent.rglob("*") if p.is_file() and p != path]
    path.write_bytes(rng.choice(sorted(others)).read_bytes())


def hurt(path, rng):
    """Damage a file in one of these ways; which."""
    how = rng.choice((flip, flip, flip_many, cut, empty, zeros, exchange, grow))
    if how is exchange:
        exchange(path, rng)
    else:
        data = bytearray(path.read_bytes())
        (how if data else grow)(data, rng)
        path.write_bytes(data)
    return how.__name__


class Kept:
    """A finished output, which can be brought back as it was."""

    def __init__(self, folder):
        self._folder, self._kept = folder, folder / "kept"
        self._kept.mkdir()
        for path in self._of_output(folder):
            shutil.move(path, self._kept / path.name)

    @staticmethod
    def _of_output(folder):
        return [*folder.glob("o[._]*"), *folder.glob(".o[._]*")]

    def bring_back(self):
        for path in self._of_output(self._folder):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in self._of_output(self._kept):
            (shutil.copytree if path.is_dir() else shutil.copy)(path, self._folder / path.name)

    def forget(self, path):
        """Remove a file and what is recorded of the output."""
        path.unlink()
        for folder in self._folder.glob(".o[._]*"):
            shutil.rmtree(folder)

    def files(self):
        tops = self._of_output(self._folder)
        return sorted(p for top in tops for p in (top, *top.rglob("*")) if p.is_file())


def read(folder, kind):
    """All voxels, or None where that is refused; anything else raised is a defect."""
    with contextlib.suppress(BlockmillError, OSError):
        volume = open_volume(str(folder / KINDS[kind]["address"]))
        with contextlib.closing(volume):
            return volume.read(Roi.from_shape(volume.shape))
    return None


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_job_again_and_the_next_job_give_right_voxels_or_none(bench, kind):
    voxels = (np.indices(SHAPE).sum(0) // 3 % 251).astype(np.uint8)  # so that gzip has something to pack
    np.save(bench.folder / "in.npy", voxels)
    same = copy_job(bench, kind)
    after = bench.job("next.yaml", input=KINDS[kind]["address"], output="next.npy", operation="copy")
    bench.run("run", same)
    kept = Kept(bench.folder)
    seed = amount("SEED", 5)
    for trial in range(amount("TRIALS", 30)):
        rng = random.Random(zlib.crc32(f"{kind} {seed} {trial}".encode()))
        kept.bring_back()
        path = rng.choice(kept.files())
        what = f"trial {trial}: {hurt(path, rng)} {path.relative_to(bench.folder)}"
        read(bench.folder, kind)
        code, out, err = bench.end_of("run", "--overwrite", after)
        assert "Traceback" not in out + err, f"{what}: {err}"
        is_described = path.name == "o.json"  # what it says of shape and axes is all that is known
        if code == 0 and not is_described:
            np.testing.assert_array_equal(np.load(bench.folder / "next.npy"), voxels, what)
        code, out, err = bench.end_of("run", same)
        assert "Traceback" not in out + err, f"{what}: {err}"
        assert code == 0 or code in REFUSED, f"{what}: {code} {err}"
        if code:  # a finished merged file, or a description or record that can't be read, is left as it is
            kept.forget(path)
            code, _, err = bench.end_of("run", "--overwrite", same)
            assert code == 0, f"{what}: {err}"
        np.testing.assert_array_equal(read(bench.folder, kind), voxels, what)
