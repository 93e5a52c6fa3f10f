"""The examples of the pages for Python users are run, in order, in a folder of their own."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import ndimage

from blockmill import BlockwiseFileset, FilesetDescription, Roi, open_volume

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples(page):
    return [match.groups() for match in BLOCK.finditer((ROOT / "docs" / page).read_text())]


def lacking(code):
    """A package that an example imports and that is not installed here, or None."""
    wanted = [*re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE)]
    there = {"cleaning"}  # a module of the example's own
    return next(
        (name for name in wanted if name not in there and importlib.util.find_spec(name) is None), None
    )


class Folder:
    """Runs examples in a folder, as their reader would."""

    def __init__(self, path):
        self.path = path
        self.left_out = []

    def run(self, kind, code):
        if code.startswith("# ") and code.partition("\n")[0].endswith((".py", ".yaml")):
            file = self.path / code.partition("\n")[0][2:]
            file.parent.mkdir(exist_ok=True)
            file.write_text(code)
            return ""
        if kind == "python" and (package := lacking(code)) is not None:
            compile(code, "example", "exec")
            self.left_out.append(package)
            return ""
        commands = {"python": [sys.executable, "-c", code], "sh": ["bash", "-ec", code]}
        environ = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            commands[kind], cwd=self.path, env=environ, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "mine"
    path.mkdir()
    return Folder(path)


def fileset(path, data):
    description = FilesetDescription(
        axes="zyx", shape=data.shape, dtype=data.dtype, block_shape=(16, 32, 32),
        dataset_root_dir=f"{path.stem}_blocks", block_file_name_format="b{roiString}.h5/d",
    )  # fmt: skip
    with BlockwiseFileset.create(path, description) as made:
        made.write(None, data)


def test_the_examples_of_the_questions_do_what_they_say(folder):
    data = np.random.default_rng(0).integers(0, 255, (32, 64, 64)).astype("u1")
    for name in ("cells.json", "smooth.json"):
        fileset(folder.path / name, data)
    if importlib.util.find_spec("tifffile") is not None:
        import tifffile

        tifffile.imwrite(folder.path / "scan.tif", data, photometric="minisblack", metadata={"axes": "ZYX"})
    printed = [folder.run(kind, code) for kind, code in examples("faq.md")]
    np.testing.assert_array_equal(open_volume(folder.path / "clean.npy").read(), cleaned(data))
    assert "dtype=uint8" in "".join(printed)
    assert sum(text.count("[") > 0 for text in printed) > 0
    if "tifffile" in folder.left_out:
        return
    for name in ("scan.h5", "large.h5"):
        volume = open_volume(folder.path / name / "data")
        assert volume.axes == "zyx"
        np.testing.assert_array_equal(volume.read(), data)
    with h5py.File(folder.path / "part.h5") as file:
        np.testing.assert_array_equal(file["data"], data[0:16, 0:32])


def cleaned(data):
    """What the function of the page makes of the whole: its halo spans the axis that it looks along."""
    background = np.median(data, axis=1, keepdims=True)
    return np.clip(data - 0.5 * background, 0, 255).astype(data.dtype)


def test_the_example_of_the_page_for_lazyflow_runs(folder):
    printed = [folder.run(kind, code) for kind, code in examples("migrating.md") if kind == "python"]
    assert "[0, 0, 0]" in printed[0]
    with BlockwiseFileset(folder.path / "cells.json") as made:
        block = made.read(Roi((32, 0, 0), (64, 32, 32)))
    np.testing.assert_array_equal(block[:, 0, 0], np.repeat(np.arange(32, 64, 8), 8))


def test_a_median_of_a_library_is_right_with_the_halo_of_the_page(tmp_path):
    """The page says that size 3 needs a halo of 1."""
    from blockmill import BigRequestStreamer

    code = next(code for _, code in examples("faq.md") if "median_filter" in code)
    operation = eval(re.search(r"operation = (.*)", code)[1])
    data = np.random.default_rng(1).integers(0, 255, (20, 21, 22)).astype("u1")
    found = np.zeros_like(data)
    streamer = BigRequestStreamer(data, block_shape=(8, 8, 8), operation=operation)
    streamer.result_signal.subscribe(lambda roi, voxels: found.__setitem__(roi.to_slice(), voxels))
    streamer.execute()
    np.testing.assert_array_equal(found, ndimage.median_filter(data, size=3))
