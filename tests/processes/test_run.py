import json
import re

import h5py
import numpy as np
import pytest
from scipy import ndimage

from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.shared.volumes.registry import open_volume

FILESET = {"address": "out.json", "block_shape": [16, 16, 16]}
SMOOTH = {"gaussian": {"sigma": 1.5}}


@pytest.mark.parametrize("output", [FILESET, "out.npy", "out.h5/a/b"], ids=["fileset", "npy", "hdf5"])
def test_smoothing_by_blocks_is_bit_equal_to_the_whole(bench, output):
    voxels = bench.volume()
    _, err = bench.run("run", bench.job(input="in.npy", output=output, operation=SMOOTH))
    address = output if isinstance(output, str) else output["address"]
    np.testing.assert_array_equal(bench.read(address), ndimage.gaussian_filter(voxels, 1.5))
    assert err == ""
    assert bench.leavings() == []


def test_the_real_volume_smoothed_is_bit_equal(bench, shared_dir):
    source = shared_dir / "data/mni152_t1.h5"
    bench.run(
        "run",
        bench.job(
            input=f"{source}/volume/data", output=FILESET | {"block_shape": [64] * 3}, operation=SMOOTH
        ),
    )
    with h5py.File(source) as file:
        whole = file["volume/data"][...]
    np.testing.assert_array_equal(bench.read("out.json"), ndimage.gaussian_filter(whole, 1.5))


def test_converting_there_and_back_keeps_every_voxel(bench):
    voxels = bench.volume(dtype=np.uint16)
    steps = [("in.npy", "a.h5/v"), ("a.h5/v", FILESET), ("out.json", "b.h5/x/y"), ("out.json", "c.npy")]
    for source, output in steps:
        bench.run("run", bench.job(input=source, output=output, operation="copy"))
    for address in ("a.h5/v", "out.json", "b.h5/x/y", "c.npy"):
        np.testing.assert_array_equal(bench.read(address), voxels)


def test_compressed_outputs_are_compressed_and_equal(bench):
    voxels = bench.volume() // 100
    np.save(bench.folder / "in.npy", voxels)
    gzip = {"compression": "gzip", "compression_opts": 1, "chunks": [8, 8, 8]}
    for address in ("out.json", "out.h5/v"):
        bench.run("run", bench.job(input="in.npy", output={"address": address, **gzip}, operation="copy"))
        np.testing.assert_array_equal(bench.read(address), voxels)
    with h5py.File(bench.folder / "out.h5") as file:
        assert (file["v"].compression, file["v"].chunks) == ("gzip", (8, 8, 8))


def test_a_threshold_of_a_roi(bench):
    voxels = bench.volume()
    roi = [[3, 5, 7], [33, 25, 20]]
    bench.run(
        "run", bench.job(input="in.npy", output=FILESET, operation={"threshold": {"above": 100}}, roi=roi)
    )
    np.testing.assert_array_equal(bench.read("out.json"), voxels[3:33, 5:25, 7:20] > 100)


def test_a_roi_is_smoothed_with_the_voxels_around_it(bench):
    voxels = bench.volume()
    bench.run(
        "run", bench.job(input="in.npy", output="out.npy", operation=SMOOTH, roi=[[10, 10, 5], [30, 20, 15]])
    )
    np.testing.assert_array_equal(
        bench.read("out.npy"), ndimage.gaussian_filter(voxels, 1.5)[10:30, 10:20, 5:15]
    )


def test_progress_is_a_line_every_ten_percent_and_a_summary(bench):
    bench.volume()
    job = bench.job(
        input="in.npy",
        output=FILESET | {"block_shape": [4, 30, 20]},
        block_shape=[4, 30, 20],
        operation="copy",
    )
    out, _ = bench.run("run", job)
    *lines, summary = out.splitlines()
    assert re.fullmatch(r"done: 10 blocks, 24000 voxels, [\d.]+ s, [\d.]+ [KM]?i?B/s -> .*out\.json", summary)
    tenths = [int(line.split()[0]) for line in lines]
    assert tenths == sorted(set(tenths))
    assert tenths[-1] == 100


def test_the_summary_as_json_is_all_that_stdout_holds(bench):
    bench.volume()
    out, _ = bench.run("run", "--json", bench.job(input="in.npy", output=FILESET, operation="copy"))
    summary = json.loads(out)
    assert (summary["outcome"], summary["voxels"]) == ("done", 24000)


def test_a_job_on_stdin_needs_no_file(bench):
    voxels = bench.volume()
    text = f"{{input: {bench.folder}/in.npy, output: {bench.folder}/out.npy, operation: copy}}"
    bench.run("run", "-q", "-", stdin=text)
    np.testing.assert_array_equal(bench.read("out.npy"), voxels)


def test_running_a_finished_job_again_checks_it_and_does_nothing(bench):
    bench.volume()
    job = bench.job(input="in.npy", output=FILESET, operation=SMOOTH)
    bench.run("run", job)
    files = {path: path.stat().st_mtime_ns for path in bench.folder.rglob("*.h5")}
    out, _ = bench.run("run", "--json", job)
    summary = json.loads(out)
    assert summary["skipped"] == summary["finished"] == summary["blocks"] > 0
    assert summary["voxels"] == summary["bytes_written"] == 0
    assert {path: path.stat().st_mtime_ns for path in bench.folder.rglob("*.h5")} == files


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "no status"])
def test_only_a_damaged_block_is_done_again(bench, damage):
    voxels = bench.volume()
    job = bench.job(input="in.npy", output=FILESET, block_shape=[16] * 3, operation=SMOOTH)
    bench.run("run", job)
    victim = sorted((bench.folder / "out_blocks").rglob("*.h5"))[3]
    content = bytearray(victim.read_bytes())
    if damage == "cut":
        victim.write_bytes(content[: len(content) // 2])
    elif damage == "changed":
        content[-1] ^= 1
        victim.write_bytes(content)
    elif damage == "gone":
        victim.unlink()
    else:
        (victim.parent / "STATUS.txt").unlink()
    summary = json.loads(bench.run("run", "--json", job)[0])
    assert summary["blocks"] - summary["skipped"] == 1
    np.testing.assert_array_equal(bench.read("out.json"), ndimage.gaussian_filter(voxels, 1.5))


def test_another_job_on_the_same_output_is_refused_naming_what_differs(bench):
    voxels = bench.volume()
    bench.run("run", bench.job(input="in.npy", output=FILESET, operation=SMOOTH))
    other = bench.job(input="in.npy", output=FILESET, operation={"gaussian": {"sigma": 2.0}})
    _, err = bench.run("run", other, code=6)
    assert "operation.gaussian.sigma: 1.5 there, 2.0 here" in err
    assert "--overwrite" in err
    bench.run("run", "--overwrite", other)
    np.testing.assert_array_equal(bench.read("out.json"), ndimage.gaussian_filter(voxels, 2.0))


def test_an_input_that_changed_since_is_another_job(bench):
    bench.volume()
    job = bench.job(input="in.npy", output="out.npy", operation=SMOOTH)
    bench.run("run", job)
    bench.volume(shape=(40, 30, 21))
    _, err = bench.run("run", job, code=6)
    assert "input_is.shape: [40, 30, 20] there, [40, 30, 21] here" in err


@pytest.mark.parametrize("address", ["out.json", "out.npy", "out.h5/v"])
def test_a_file_that_no_run_wrote_is_not_replaced(bench, address):
    bench.volume()
    file = bench.folder / address.removesuffix("/v")
    file.write_text("precious")
    _, err = bench.run("run", bench.job(input="in.npy", output=address, operation="copy"), code=6)
    assert f"{file} exists" in err
    assert file.read_text() == "precious"


def test_overwriting_spares_other_datasets_in_the_file(bench):
    voxels = bench.volume()
    with h5py.File(bench.folder / "out.h5", "w") as file:
        file["precious"] = voxels
    job = bench.job(input="in.npy", output="out.h5/v", operation="copy")
    _, err = bench.run("run", "--overwrite", job, code=6)
    assert "precious" in err
    assert list(h5py.File(bench.folder / "out.h5")) == ["precious"]


BAD = {
    "wrong yaml": ("input: [", r"job\.yaml:\d+:\d+"),
    "unknown key": (
        "input: in.npy\noutput: out.npy\noperation: copy\nhalos: 3\n",
        r"job\.yaml:4:1 halos: .*halo",
    ),
    "unknown operation": (
        "input: in.npy\noutput: out.npy\noperation: {gausian: {sigma: 1}}\n",
        r"job\.yaml:3:\d+ operation.*gaussian",
    ),
    "bad parameter": (
        "input: in.npy\noutput: out.npy\noperation: {gaussian: {sigma: -1}}\n",
        r"job\.yaml:3:\d+ operation\.gaussian\.sigma",
    ),
    "roi outside": (
        "input: in.npy\noutput: out.npy\noperation: copy\nroi: [[0, 0, 0], [41, 30, 20]]\n",
        r"job\.yaml:4:\d+ roi: .*leaves the input .*in\.npy.* on axis 0",
    ),
    "missing input": (
        "input: nowhere.npy\noutput: out.npy\noperation: copy\n",
        r"nowhere\.npy does not exist",
    ),
    "output is the input": (
        "input: in.npy\noutput: ./in.npy\noperation: copy\n",
        r"job\.yaml:2:9 output: is the input",
    ),
    "output is a link to the input": (
        "input: in.npy\noutput: link.npy\noperation: copy\n",
        r"link\.npy is the input",
    ),
    "no such address": ("input: in.png\noutput: out.npy\noperation: copy\n", r"in\.png"),
    "no such function": (
        "input: in.npy\noutput: out.npy\noperation: {python: {function: 'steps:nothing'}}\nuser_code: .\n",
        r"steps.*nothing",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_job_is_told_where_and_leaves_nothing(bench, case):
    text, said = BAD[case]
    bench.volume()
    (bench.folder / "link.npy").symlink_to("in.npy")
    (bench.folder / "job.yaml").write_text(text)
    before = sorted(path.name for path in bench.folder.iterdir())
    _, err = bench.run("run", "job.yaml", code=5)
    assert re.search(said, err), err
    assert "Traceback" not in err
    assert sorted(path.name for path in bench.folder.iterdir()) == before


def test_an_input_block_cut_in_half_is_named(bench):
    bench.volume()
    bench.run("run", bench.job(input="in.npy", output=FILESET, operation="copy"))
    victim = sorted((bench.folder / "out_blocks").rglob("*.h5"))[2]
    victim.write_bytes(victim.read_bytes()[:1000])
    _, err = bench.run("run", bench.job(input="out.json", output="again.npy", operation="copy"), code=1)
    assert victim.name in err
    assert "Traceback" not in err
    assert not (bench.folder / "again.npy").exists()


def test_a_block_that_raises_fails_the_job_with_its_place_and_reason(bench):
    bench.volume()
    job = bench.steps_job("steps:raises", {"at": [10, 0, 0]}, retries=1)
    _, err = bench.run("run", job, code=1)
    assert "block [10, 0, 0]-[20, 30, 20]" in err
    assert "no luck today" in err
    assert not (bench.folder / "out.npy").exists()


def test_the_rest_finishes_where_the_job_asks_for_it(bench):
    voxels = bench.volume()
    args = {"at": [10, 0, 0]}
    job = bench.steps_job("steps:raises", args, output="out.json", retries=0, on_error="finish")
    out, err = bench.run("run", job, code=1)
    assert "done with failures" in out
    assert "block [10, 0, 0]-[20, 30, 20]" in err
    fileset = open_volume(str(bench.folder / "out.json"))
    np.testing.assert_array_equal(fileset.read(Roi((20, 0, 0), (40, 30, 20))), voxels[20:])
    assert not fileset.block_status((10, 0, 0))


def test_what_user_code_prints_is_told(bench):
    bench.volume()
    (bench.folder / "talks.py").write_text(
        "def say(block):\n    print('a word from the block')\n    return block\n"
    )
    _, err = bench.run("run", bench.steps_job("talks:say"))
    assert len(re.findall(r"worker \d+: a word from the block", err)) == 4


def test_user_code_that_changed_makes_another_job(bench):
    bench.volume()
    code = bench.folder / "mine.py"
    code.write_text("def step(block):\n    return block\n")
    job = bench.steps_job("mine:step")
    bench.run("run", job)
    code.write_text("def step(block):\n    return 255 - block\n")
    _, err = bench.run("run", job, code=6)
    assert "user_code_is" in err


def test_an_input_fileset_whose_block_was_written_anew_is_another_input(bench):
    bench.volume()
    bench.run("run", bench.job(input="in.npy", output=FILESET, operation="copy"))
    job = bench.job("second.yaml", input="out.json", output="copy.npy", operation="copy")
    bench.run("run", job)
    with BlockwiseFileset(bench.folder / "out.json", "a") as fileset:
        fileset.write(Roi((0, 0, 0), (16, 16, 16)), np.zeros((16, 16, 16), np.uint8))
    _, err = bench.run("run", job, code=6)
    assert "input_is.state" in err


def test_a_mistake_in_user_code_costs_no_earlier_result(bench):
    voxels = bench.volume()
    code = bench.folder / "mine.py"
    code.write_text("def step(block):\n    return block\n")
    bench.run("run", bench.steps_job("mine:step", output="out.json"))
    code.write_text("def step(block:\n")
    _, err = bench.run("run", "--overwrite", bench.steps_job("mine:step", output="out.json"), code=5)
    assert "mine" in err
    np.testing.assert_array_equal(bench.read("out.json"), voxels)


def test_one_reason_is_told_once_with_where_in_the_users_code(bench):
    bench.volume()
    (bench.folder / "bad.py").write_text("def step(block):\n    return block / undefined\n")
    _, err = bench.run("run", bench.steps_job("bad:step", on_error="finish", retries=0), code=1)
    summary = err[err.index(" and 3 more blocks: ") :]
    assert summary.count("NameError") == 1
    assert "bad.py" in summary
    assert "loop.py" not in err


def test_an_output_in_a_new_folder_makes_it(bench):
    voxels = bench.volume()
    bench.run("run", bench.job(input="in.npy", output="new/deep/out.npy", operation="copy"))
    np.testing.assert_array_equal(bench.read("new/deep/out.npy"), voxels)


def test_a_folder_of_user_code_that_is_not_there_is_named(bench):
    bench.volume()
    job = bench.job(
        input="in.npy", output="out.npy", operation={"python": {"function": "a:b"}}, user_code="nowhere"
    )
    _, err = bench.run("run", job, code=5)
    assert "nowhere" in err


def test_an_output_of_another_shape_in_its_place_is_refused(bench):
    bench.volume()
    for address in ("out.npy", "out.h5/v"):
        job = bench.job(input="in.npy", output=address, operation="copy")
        bench.run("run", job)
        file = bench.folder / address.removesuffix("/v")
        if file.suffix == ".npy":
            np.save(file, np.zeros((2, 2, 2), np.uint8))
        else:
            with h5py.File(file, "w") as other:
                other["v"] = np.zeros((2, 2, 2), np.uint8)
        before = file.read_bytes()
        _, err = bench.run("run", job, code=6)
        assert "has shape [2, 2, 2], this job writes [40, 30, 20]" in err
        assert file.read_bytes() == before


def test_a_description_that_was_changed_since_is_refused(bench):
    bench.volume()
    job = bench.job(input="in.npy", output=FILESET, operation="copy")
    bench.run("run", job)
    description = bench.folder / "out.json"
    plain = json.loads(description.read_text())
    description.write_text(json.dumps({**plain, "shape": [40, 30, 30], "view_shape": None}))
    _, err = bench.run("run", job, code=6)
    assert "shape: (40, 30, 30) there, (40, 30, 20) here" in err
