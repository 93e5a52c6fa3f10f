"""Zarr arrays as inputs and outputs of jobs: workers write the chunks, the ledger notes the blocks."""

import json
import signal

import numpy as np
import pytest
from scipy import ndimage

import blockmill
from blockmill.shared.errors import Refused
from blockmill.shared.volumes.zarr.volume import ZarrVolume

pytest.importorskip("tensorstore", reason="the extra zarr is not installed")
zarr = pytest.importorskip("zarr", reason="the extra zarr is not installed")

CHUNKS = [8, 16, 16]  # the volume of 40 x 30 x 20 is no multiple of it


def array(bench, name="out.zarr"):
    """The array as zarr-python sees it."""
    return zarr.open_array(bench.folder / name, mode="r")


def zarr_job(bench, function="steps:gated", output="out.zarr", **args):
    return bench.job(
        input="in.npy",
        output={"address": output, "chunks": CHUNKS},
        block_shape=[8, 30, 20],
        workers=2,
        operation={"python": {"function": function, "args": args, "halo_check": False}},
        user_code=".",
    )


def plain_job(bench):
    addresses = {key: str(bench.folder / name) for key, name in (("input", "in.npy"), ("output", "out.zarr"))}
    return {**addresses, "operation": "copy"}


def hidden(bench, name="out.zarr"):
    return {path.name for path in (bench.folder / f".{name}.blockmill").iterdir()}


def test_a_job_writes_an_array_and_another_one_reads_it(bench):
    voxels = bench.volume()
    bench.job(
        "first.yaml",
        input={"address": "in.npy", "axes": "zyx"},
        output={"address": "mid.zarr", "chunks": CHUNKS},
        operation={"gaussian": {"sigma": 1.5}},
    )
    out = json.loads(bench.run("run", "--json", "first.yaml")[0])
    assert (out["outcome"], out["bytes_written"]) == ("done", voxels.nbytes)
    expected = ndimage.gaussian_filter(voxels, 1.5)
    np.testing.assert_array_equal(array(bench, "mid.zarr")[...], expected)
    assert array(bench, "mid.zarr").metadata.dimension_names == ("z", "y", "x")
    assert hidden(bench, "mid.zarr") == {"record", "ledger"}
    assert bench.leavings() == []
    bench.job("second.yaml", input="mid.zarr", output="out.npy", operation={"threshold": {"above": 100}})
    bench.run("run", "second.yaml")
    np.testing.assert_array_equal(np.load(bench.folder / "out.npy"), expected > 100)
    info = json.loads(bench.run("volume", "info", "--json", "mid.zarr")[0])
    assert (info["shape"], info["block_shape"], info["axes"]) == ([40, 30, 20], [8, 16, 16], "zyx")
    assert "blocks agree with their checksums" in bench.run("volume", "verify", "mid.zarr")[0]


def test_what_a_killed_run_has_written_is_compared_and_kept(bench, wait_until):
    voxels = bench.volume()
    job = zarr_job(bench, gate=bench.gate, free=24)
    process = bench.start("run", job)
    wait_until(lambda: len(bench.times_begun()) == 5, "all blocks, of which two wait")
    wait_until(lambda: bench.finished_blocks("out.zarr") == 3, "the free ones in the ledger")
    children = bench.children_of(process)
    process.kill()
    process.wait()
    wait_until(lambda: bench.gone(children), "the end of the workers")
    assert not (bench.folder / "out.zarr").exists()
    partial = bench.folder / ".out.zarr.blockmill/partial"
    (partial / "c/4").mkdir(exist_ok=True)
    (partial / "c/4/0").mkdir(exist_ok=True)
    (partial / "c/4/0/0.__lock").write_bytes(b"half of a chunk")  # what a kill in a write leaves
    (partial / "c/0/0/0").write_bytes(b"damaged")
    bench.open_gate()
    summary = json.loads(bench.run("run", "--json", job)[0])
    assert (summary["outcome"], summary["blocks"], summary["skipped"]) == ("done", 5, 2)
    np.testing.assert_array_equal(array(bench)[...], voxels)
    assert not [*(bench.folder / "out.zarr").rglob("*.__lock")]
    assert hidden(bench) == {"record", "ledger"}


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing_and_goes_on_later(bench, wait_until, signum):
    voxels = bench.volume()
    job = zarr_job(bench, gate=bench.gate, free=16)
    process = bench.start("run", job)
    wait_until(lambda: len(bench.times_begun()) == 4, "two free blocks, and two that wait")
    process.send_signal(signum)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert bench.leavings() == []
    bench.open_gate()
    assert json.loads(bench.run("run", "--json", job)[0])["outcome"] == "done"
    np.testing.assert_array_equal(array(bench)[...], voxels)


def test_a_run_whose_block_has_failed_goes_on(bench):
    voxels = bench.volume()
    job = zarr_job(bench, "steps:raises_until", at=[16, 0, 0], cure=str(bench.folder / "cure"))
    bench.run("run", job, code=1)
    (bench.folder / "cure").touch()
    bench.run("run", job)
    np.testing.assert_array_equal(array(bench)[...], voxels)


def test_a_finished_array_is_compared_and_never_replaced_unasked(bench):
    voxels = bench.volume()
    job = bench.job(input="in.npy", output={"address": "out.zarr", "chunks": CHUNKS}, operation="copy")
    bench.run("run", job)
    assert json.loads(bench.run("run", "--json", job)[0])["outcome"] == "done"
    with ZarrVolume(bench.folder / "out.zarr", "r+") as volume:
        volume.write(((0, 0, 0), (1, 1, 1)), voxels[:1, :1, :1] + 1)
    _, err = bench.run("run", job, code=6)
    assert "are no longer what this job wrote" in err
    assert "damaged" in bench.run("volume", "verify", "out.zarr", code=1)[0]
    bench.job("other.yaml", input="in.npy", output="out.zarr", operation={"gaussian": {"sigma": 1}})
    _, err = bench.run("run", "other.yaml", code=6)
    assert "belongs to another job" in err
    bench.run("run", "--overwrite", job)
    np.testing.assert_array_equal(array(bench)[...], voxels)
    (bench.folder / "out.zarr/mine").write_text("x")
    _, err = bench.run("run", "--overwrite", job, code=6)
    assert "also holds mine" in err
    assert (bench.folder / "out.zarr/mine").exists()


def test_a_dry_run_tells_the_files_and_leaves_nothing(bench):
    bench.volume()
    job = bench.job(input="in.npy", output={"address": "out.zarr", "chunks": CHUNKS}, operation="copy")
    estimate = json.loads(bench.run("run", "--dry-run", "--json", job)[0])
    assert estimate["files"] == 5 * 2 * 2 + 3
    assert estimate["storage_block"] == CHUNKS
    assert not (bench.folder / "out.zarr").exists()
    assert [path.name for path in bench.folder.glob(".blockmill-dry-run*")] == []


def test_several_processes_write_and_read_one_array(bench):
    data = np.random.default_rng(1).integers(0, 60000, (96, 512, 512)).astype("u2")
    ZarrVolume.create(
        bench.folder / "a.zarr", data.shape, data.dtype, axes="zyx", chunks=(32, 256, 256)
    ).close()
    with blockmill.ParallelVolume(bench.folder / "a.zarr") as volume:
        volume.write(((0, 0, 0), data.shape), data)
        np.testing.assert_array_equal(volume.read(), data)
    np.testing.assert_array_equal(array(bench, "a.zarr")[...], data)


def test_a_service_of_one_person_runs_it(bench):
    voxels = bench.volume()
    bench.serve()
    job = {
        "input": str(bench.folder / "in.npy"),
        "output": str(bench.folder / "out.zarr"),
        "operation": "copy",
    }
    with bench.client(timeout_s=60) as client:
        assert client.wait(client.submit(job).id, timeout_s=60).state == "done"
    bench.end_service()
    np.testing.assert_array_equal(array(bench)[...], voxels)


def test_a_service_that_confines_jobs_refuses_it_in_words(bench):
    bench.volume()
    bench.environ |= {"BLOCKMILL__ACCESS__DATA_ROOTS": json.dumps([str(bench.folder)])}
    bench.serve()
    job = {
        "input": str(bench.folder / "in.npy"),
        "output": str(bench.folder / "out.zarr"),
        "operation": "copy",
    }
    with bench.client(timeout_s=60) as client, pytest.raises(Refused, match="can't use zarr volumes"):
        client.submit(job)
    bench.end_service()
