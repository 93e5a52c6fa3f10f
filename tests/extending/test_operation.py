"""An operation is two modules and a test; an installed one has its place in job files, help and pages."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

HERE = Path(__file__).parent
pytestmark = pytest.mark.processes


@pytest.fixture
def installed(bench):
    """The toy as an installed package, for commands and workers."""
    folder = bench.folder / "site packages"
    info = folder / "ridge-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ridge\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[blockmill.operations]\nridge = ridge_operation:Ridge\n")
    for name in ("ridge_operation.py", "ridge_kernel.py"):
        (folder / name).symlink_to(HERE / name)
    bench.environ["PYTHONPATH"] = str(folder)
    bench.command = [*bench.command]  # an interpreter of its own, which looks at PYTHONPATH


@pytest.mark.parametrize("output", ["out.npy", "out.h5/v"])
def test_it_is_what_scipy_makes_of_the_whole_volume(bench, installed, output):
    voxels = bench.volume()
    bench.job(
        input="in.npy", output=output, operation={"ridge": {"size": {"z": 5, "x": 3}}}, block_shape=[9, 8, 7]
    )
    assert json.loads(bench.run("run", "--json", "job.yaml")[0])["blocks"] == 5 * 4 * 3
    size = (5, 1, 3)
    expected = ndimage.maximum_filter(voxels, size) - ndimage.minimum_filter(voxels, size)
    bench.run("apply", "copy", output, "whole.npy")
    np.testing.assert_array_equal(np.load(bench.folder / "whole.npy"), expected)


def test_it_is_a_step_among_others(bench, installed):
    voxels = bench.volume()
    steps = ["ridge", {"threshold": {"above": 100}}]
    bench.job(input="in.npy", output="out.npy", operation=steps, block_shape=[9, 8, 7])
    bench.run("run", "job.yaml")
    expected = ndimage.maximum_filter(voxels, 3) - ndimage.minimum_filter(voxels, 3) > 100
    np.testing.assert_array_equal(np.load(bench.folder / "out.npy"), expected)


def test_its_mistakes_are_told_where_they_stand(bench, installed):
    bench.volume()
    bench.job(input="in.npy", output="out.npy", operation={"ridge": {"size": 0}})
    assert "operation.ridge.size: must be at least 1" in bench.run("run", "job.yaml", code=5)[1]
    bench.job(input="in.npy", output="out.npy", operation="rigde")
    assert "did you mean ridge?" in bench.run("run", "job.yaml", code=5)[1]
