"""A format of volumes is one module and one class of tests; an installed one is known to workers as well."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, os.path.dirname(__file__))
from slab_format import Slab, SlabVolume

from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.base.format import Address, NewVolume
from blockmill.shared.volumes.base.info import Meaning
from blockmill.shared.volumes.conformance import VolumeTests

HERE = Path(__file__).parent


class TestSlabVolume(VolumeTests):
    def make(self, directory, data, axes):
        at = Address("slab", str(directory / "v.slab"))
        new = NewVolume(
            shape=data.shape,
            dtype=data.dtype,
            meaning=Meaning(axes=axes),
            unit=(4, *data.shape[1:]),
            options=None,
        )
        Slab().create(at, new)
        volume = SlabVolume(at.file, "r+")
        volume.write(Roi.from_shape(data.shape), data)
        return volume


@pytest.fixture
def installed(bench):
    """Puts entry points of formats on the path of all commands, as installed packages have them."""

    def install(**values):
        folder = bench.folder / "site packages"
        info = folder / "slab_format-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slab-format\nVersion: 1.0\n")
        points = "".join(f"{name} = {value}\n" for name, value in values.items())
        (info / "entry_points.txt").write_text(f"[blockmill.formats]\n{points}")
        (folder / "slab_format.py").symlink_to(HERE / "slab_format.py")
        (folder / "broken_format.py").write_text("raise RuntimeError('built for another machine')")
        bench.environ["PYTHONPATH"] = str(folder)
        bench.command = [*bench.command]  # an interpreter of its own, which looks at PYTHONPATH

    return install


@pytest.mark.processes
def test_an_installed_format_is_input_and_output_of_a_job(bench, installed):
    installed(slab="slab_format:Slab")
    voxels = bench.volume()
    bench.job("in.yaml", input="in.npy", output={"address": "mid.slab", "thickness": 6}, operation="copy")
    summary = json.loads(bench.run("run", "--json", "in.yaml")[0])
    assert summary["outcome"] == "done"
    assert sorted(path.name for path in (bench.folder / "mid.slab").glob("*.raw"))[0] == "0.raw"
    assert len([*(bench.folder / "mid.slab").glob("*.raw")]) == 7
    with SlabVolume(bench.folder / "mid.slab") as volume:
        np.testing.assert_array_equal(volume.read(), voxels)
    bench.job("out.yaml", input="mid.slab", output="out.npy", operation={"gaussian": {"sigma": 0}})
    bench.run("run", "out.yaml")
    np.testing.assert_array_equal(np.load(bench.folder / "out.npy"), voxels)
    info = json.loads(bench.run("volume", "info", "--json", "mid.slab")[0])
    assert (info["shape"], info["block_shape"]) == ([40, 30, 20], [6, 30, 20])
    assert "agree with their checksums" in bench.run("volume", "verify", "mid.slab")[0]
    again = json.loads(bench.run("run", "--json", "in.yaml")[0])
    assert again["skipped"] == again["blocks"] == summary["blocks"]


@pytest.mark.processes
def test_its_keys_are_checked_where_they_stand(bench, installed):
    installed(slab="slab_format:Slab")
    bench.volume()
    bench.job(input="in.npy", output={"address": "o.slab", "thickness": "six"}, operation="copy")
    _, err = bench.run("run", "job.yaml", code=5)
    assert "output.thickness: must be a whole number" in err and "job.yaml:" in err
    bench.job(input="in.npy", output={"address": "o.slab", "compression": "gzip"}, operation="copy")
    assert "compression: does not go with" in bench.run("run", "job.yaml", code=5)[1]


@pytest.mark.processes
def test_what_a_killed_run_has_written_is_kept(bench, installed, wait_until):
    installed(slab="slab_format:Slab")
    voxels = bench.volume()
    job = bench.job(
        input="in.npy",
        output={"address": "out.slab", "thickness": 10},
        block_shape=[10, 30, 20],
        workers=2,
        operation={"python": {"function": "steps:gated", "args": {"gate": bench.gate, "free": 20},
                              "halo_check": False}},
        user_code=".",
    )  # fmt: skip
    process = bench.start("run", job)
    wait_until(lambda: len(bench.times_begun()) == 4, "all blocks")
    wait_until(lambda: bench.finished_blocks("out.slab") == 2, "the free ones")
    children = bench.children_of(process)
    process.kill()
    process.wait()
    wait_until(lambda: bench.gone(children), "the end of the workers")
    bench.open_gate()
    summary = json.loads(bench.run("run", "--json", job)[0])
    assert (summary["outcome"], summary["skipped"]) == ("done", 2)
    with SlabVolume(bench.folder / "out.slab") as volume:
        np.testing.assert_array_equal(volume.read(), voxels)


@pytest.mark.processes
def test_a_format_that_can_not_be_imported_harms_nothing_and_the_doctor_says_why(bench, installed):
    installed(slab="slab_format:Slab", broken="broken_format:Broken")
    voxels = bench.volume()
    bench.job(input="in.npy", output="out.slab", operation="copy")
    bench.run("run", "job.yaml")
    with SlabVolume(bench.folder / "out.slab") as volume:
        np.testing.assert_array_equal(volume.read(), voxels)
    _, out, err = bench.end_of("doctor")
    assert "the format broken (broken_format:Broken) can't be imported: RuntimeError: built for" in out + err
    _, err = bench.run("volume", "info", "x.broken", code=5)
    assert "built for another machine" in err


@pytest.mark.processes
def test_help_loads_no_format(bench, installed):
    installed(broken="broken_format:Broken")
    code = "import sys; from blockmill.__main__ import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "assert not [name for name in sys.modules if 'volumes' in name or name == 'broken_format']"
    bench.command = [sys.executable, "-c", code]
    bench.run("--help")
