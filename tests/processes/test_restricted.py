"""A service with data roots: what lies below them works as ever, and nothing leads out of them."""

import os

import h5py
import numpy as np
import pytest

from blockmill.shared.errors import Refused
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.system.confinement import can_confine
from blockmill.shared.volumes.registry import open_volume

SHAPE = (40, 30, 20)


@pytest.fixture
def roots(bench):
    """A service with a folder for data and one for code, and voxels within and without."""
    for name in ("data", "code", "outside"):
        (bench.folder / name).mkdir()
    (bench.folder / "code" / "steps.py").write_text(
        "from os import system\n\ndef negative(block):\n    return 255 - block\n"
    )
    voxels = np.random.default_rng(3).integers(1, 200, SHAPE).astype(np.uint8)
    np.save(bench.folder / "data" / "in.npy", voxels)
    np.save(bench.folder / "outside" / "in.npy", 255 - voxels)
    bench.environ |= {
        "BLOCKMILL__ACCESS__DATA_ROOTS": f'["{bench.folder}/data"]',
        "BLOCKMILL__ACCESS__USER_CODE": f'["{bench.folder}/code"]',
    }
    bench.serve()
    yield bench.folder / "data", voxels
    bench.end_service()


def run_job(bench, source, output, **fields):
    job = {"input": str(source), "output": output, "operation": "copy", "block_shape": [20, 30, 20]} | fields
    with bench.client(timeout_s=60) as client:
        return client.wait(client.submit(job, overwrite=True).id, timeout_s=60)


@pytest.mark.parametrize("output", ["o.npy", "o.h5/v", "o.json"])
def test_all_kinds_of_volumes_work_below_the_roots(bench, roots, output):
    data, voxels = roots
    (data / "link.npy").symlink_to(data / "in.npy")
    target = {"address": str(data / output)}
    if output == "o.json":
        target["block_shape"] = [20, 30, 20]
    assert run_job(bench, data / "link.npy", target).state == "done"
    function = {
        "operation": {"python": {"function": "steps:negative"}},
        "user_code": str(bench.folder / "code"),
    }
    info = run_job(bench, target["address"], str(data / "again.npy"), **function)
    assert (info.state, info.reason) == ("done", "")
    volume = open_volume(target["address"])
    try:
        np.testing.assert_array_equal(volume.read(Roi.from_shape(SHAPE)), voxels)
    finally:
        volume.close()
    np.testing.assert_array_equal(np.load(data / "again.npy"), 255 - voxels)


@pytest.mark.parametrize("kind", ["link", "virtual", "raw"])
def test_no_file_behind_a_dataset_lies_outside(bench, roots, kind):
    data, voxels = roots
    outside = bench.folder / "outside"
    with h5py.File(outside / "x.h5", "w") as file:
        file["v"] = voxels
    voxels.tofile(outside / "x.raw")
    with h5py.File(data / "in.h5", "w") as file:
        if kind == "link":
            file["v"] = h5py.ExternalLink(str(outside / "x.h5"), "/v")
        elif kind == "virtual":
            layout = h5py.VirtualLayout(SHAPE, "u1")
            layout[...] = h5py.VirtualSource(str(outside / "x.h5"), "v", SHAPE)
            file.create_virtual_dataset("v", layout)
        else:
            file.create_dataset("v", SHAPE, "u1", external=[(str(outside / "x.raw"), 0, voxels.nbytes)])
    info = run_job(bench, data / "in.h5/v", str(data / "o.npy"))
    assert info.state == "failed"
    assert f"{outside}/x." in info.reason and "access.data_roots" in info.reason
    assert not (data / "o.npy").exists()


def test_an_imported_name_is_refused_by_the_place_where_it_is_defined(bench, roots):
    data, _ = roots
    fields = {"operation": {"python": {"function": "steps:system"}}, "user_code": str(bench.folder / "code")}
    info = run_job(bench, data / "in.npy", str(data / "o.npy"), **fields)
    assert info.state == "failed"
    assert "steps:system is defined in the module posix; this service calls only" in info.reason


@pytest.mark.skipif(not can_confine(), reason="this kernel has no Landlock")
def test_links_that_change_all_the_time_never_lead_out(bench, roots, swapping):
    data, voxels = roots
    outside = bench.folder / "outside"
    (data / "sub").mkdir()
    np.save(data / "sub" / "in.npy", voxels)
    swapping({data / "swap": [data / "sub", outside]})
    ends = set()
    for number in range(12):
        source, output = (data / "swap" / "in.npy", data / f"o{number}.npy")
        if number % 2:
            source, output = data / "in.npy", data / "swap" / f"o{number}.npy"
        try:
            ends.add(run_job(bench, source, str(output)).state)
        except Refused:
            ends.add("refused")
        if output.parent == data and output.exists():
            np.testing.assert_array_equal(np.load(output), voxels)
    assert [path.name for path in outside.iterdir()] == ["in.npy"]
    assert ends <= {"refused", "failed", "done"}


@pytest.fixture
def swapping():
    """Called with links and their targets, sets each to the next target again and again."""
    children = []

    def begin(links):
        child = os.fork()
        if child:
            children.append(child)
            return
        turn = 0
        while True:
            for link, targets in links.items():
                new = link.with_name(f"{link.name}.new")
                new.unlink(missing_ok=True)
                new.symlink_to(targets[turn % len(targets)])
                new.rename(link)
            turn += 1

    yield begin
    for child in children:
        os.kill(child, 9)
        os.waitpid(child, 0)
