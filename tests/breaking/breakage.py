"""What these tests share: the kinds of outputs, how they are judged, and how long tests last."""

import os
import sys

import h5py
import numpy as np

from blockmill.shared.errors import CorruptBlock
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset

COMMAND = [sys.executable, "-m", "blockmill"]
BLOCK = [32, 32, 32]
KINDS = {
    "raw": {"address": "o.json", "block_shape": BLOCK},
    "gzip": {"address": "o.json", "block_shape": BLOCK, "compression": "gzip"},
    "h5": {"address": "o.h5/v"},
    "npy": {"address": "o.npy"},
}


def amount(name, usual):
    """How much a long test does: BLOCKMILL_BREAK_<NAME> of the environment."""
    return type(usual)(os.environ.get(f"BLOCKMILL_BREAK_{name}", usual))


def output_of(kind, folder):
    """The key `output` of a job, in a folder beside it."""
    return KINDS[kind] | {"address": f"{folder}/{KINDS[kind]['address']}"}


def copy_job(bench, kind, folder=".", name="job.yaml", **fields):
    """A job that copies in.npy."""
    return bench.job(
        name,
        **{"input": "in.npy", "output": output_of(kind, folder), "operation": "copy", "block_shape": BLOCK}
        | fields,
    )


def gated_job(bench, kind, folder=".", free=32, **fields):
    """A job whose blocks wait for the gate, but for those in the first `free` planes; its code lies apart."""
    (bench.folder / "code").mkdir(exist_ok=True)
    (bench.folder / "code" / "steps.py").write_text((bench.folder / "steps.py").read_text())
    args = {"gate": bench.gate, "free": free}
    operation = {"python": {"function": "steps:gated", "args": args, "halo_check": False}}
    return copy_job(bench, kind, folder, operation=operation, user_code="code", workers=2, **fields)


def available(folder, kind, want, *, power_cut=False):
    """How many blocks are available, or 1 for a merged output that has its name; all of it must be right.

    After a power cut a block may have its name and status, but not yet its bytes: then it is refused.
    """
    path = folder / KINDS[kind]["address"].removesuffix("/v")
    if not path.exists():
        return 0
    if kind == "npy":
        np.testing.assert_array_equal(np.load(path), want)
        return 1
    if kind == "h5":
        with h5py.File(path) as file:
            np.testing.assert_array_equal(file["v"][()], want)
        return 1
    with BlockwiseFileset(path) as fileset:
        rois = [roi for roi in fileset.block_rois() if fileset.block_status(roi.start)]
        for roi in rois:
            try:
                voxels = fileset.read(roi)
            except CorruptBlock:
                assert power_cut
            else:
                np.testing.assert_array_equal(voxels, want[roi.to_slice()])
    return len(rois)


def leavings(folder):
    """Locks and partial files that somebody should have removed."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if ".partial" in path.name or path.name.endswith(".lock") or path.name in ("lock", "partial")
    ]
