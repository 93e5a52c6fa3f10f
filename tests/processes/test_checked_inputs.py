"""An output of ours that is read as an input is compared with what its job recorded."""

import json

import h5py
import numpy as np
import pytest

FAILED, WRONG_JOB = 1, 5
OUTPUTS = {
    "a.json": {"block_shape": [16, 16, 16]},
    "packed": {"address": "a.json", "block_shape": [16, 16, 16], "compression": "gzip"},
    "a.npy": {},
    "a.h5/v": {},
}


@pytest.fixture
def voxels(bench):
    return bench.volume(shape=(32, 32, 32))


def first(bench, kind="a.json"):
    """Run the job that writes the input of the next; returns its address."""
    output = {"address": kind, **OUTPUTS[kind]}
    bench.run("run", bench.job(input="in.npy", output=output, operation="copy", block_shape=[16, 16, 16]))
    return output["address"]


def flip(bench, address):
    """Flip one bit of the first file of an output."""
    pattern = "a_blocks/**/*.h5" if address.endswith("json") else address.split("/")[0]
    path = min(bench.folder.glob(pattern))
    content = bytearray(path.read_bytes())
    content[-1000] ^= 4
    path.write_bytes(content)
    return path


def after(bench, address, output="b.npy", **fields):
    return bench.job(
        "b.yaml", input=address, output=output, **{"operation": "copy", "block_shape": [16, 16, 16], **fields}
    )


@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("output", ["b.npy", "b.json"])
def test_one_flipped_bit_ends_the_next_job(bench, voxels, kind, output):
    address = first(bench, kind)
    path = flip(bench, address)
    job = after(bench, address, output, retries=2)
    _, err = bench.run("run", job, code=FAILED)
    assert str(path) in err
    assert "of the input" in err
    assert "checksum differs" in err
    assert "Run that job again" in err
    assert "volume verify" in err
    out, _ = bench.run("run", "--overwrite", "--json", after(bench, address, output), code=FAILED)
    assert json.loads(out)["retries"] == 0  # no further attempt would read anything else


@pytest.mark.parametrize("kind", OUTPUTS)
def test_a_sound_input_is_copied_and_nothing_is_said(bench, voxels, kind):
    out, _ = bench.run("run", "--json", after(bench, first(bench, kind)))
    summary = json.loads(out)
    assert (summary["input_blocks"], summary["input_unchecked"]) == (8, 0)
    assert np.array_equal(np.load(bench.folder / "b.npy"), voxels)


@pytest.mark.parametrize("kind", OUTPUTS)
def test_blocks_that_no_task_reads_whole_are_counted(bench, voxels, kind):
    address = first(bench, kind)
    out, _ = bench.run("run", after(bench, address, roi=[[0, 0, 0], [32, 24, 32]], block_shape=[16, 24, 16]))
    assert "4 of 8 blocks of the input were not checked" in out
    assert np.array_equal(np.load(bench.folder / "b.npy"), voxels[:, :24])


def test_a_halo_that_reaches_to_the_end_of_a_block_counts_as_reading_it(bench, voxels):
    job = after(bench, first(bench), operation={"gaussian": {"sigma": 1}}, block_shape=[14, 16, 16])
    out, _ = bench.run("run", "--json", job)
    assert json.loads(out)["input_unchecked"] == 0


@pytest.mark.parametrize("kind", OUTPUTS)
def test_a_repaired_input_is_taken(bench, voxels, kind):
    address = first(bench, kind)
    flip(bench, address)
    bench.run("run", after(bench, address), code=FAILED)
    first_again = ["--overwrite"] if not address.endswith("json") else []
    bench.run("run", *first_again, "job.yaml")
    bench.run("run", "--overwrite", after(bench, address))
    assert np.array_equal(np.load(bench.folder / "b.npy"), voxels)


def test_the_check_can_be_turned_off_and_is_no_part_of_the_job(bench, voxels):
    address = first(bench, "a.npy")
    changed = np.load(bench.folder / "a.npy")
    changed[0, 0, 0] += 1
    with (bench.folder / "a.npy").open("r+b") as file:
        np.save(file, changed)
    bench.run("run", after(bench, address), code=FAILED)
    out, _ = bench.run(
        "run", "--json", after(bench, address, check_input=False)
    )  # goes on with the same output
    assert json.loads(out)["input_unchecked"] is None
    assert np.array_equal(np.load(bench.folder / "b.npy"), changed)


def test_an_input_that_was_replaced_by_another_shape_is_refused(bench, voxels):
    address = first(bench, "a.npy")
    np.save(bench.folder / "a.npy", voxels[:16])
    _, err = bench.run("run", after(bench, address), code=WRONG_JOB)
    assert "was replaced" in err
    bench.run("run", after(bench, address, check_input=False))
    assert np.array_equal(np.load(bench.folder / "b.npy"), voxels[:16])


def test_another_dataset_in_the_same_file_is_not_ours(bench, voxels):
    first(bench, "a.h5/v")
    with h5py.File(bench.folder / "a.h5", "r+") as file:
        file["mine"] = voxels[::-1]
    out, _ = bench.run("run", "--json", after(bench, "a.h5/mine"))
    assert json.loads(out)["input_blocks"] is None
    assert np.array_equal(np.load(bench.folder / "b.npy"), voxels[::-1])


def test_blocks_without_a_checksum_are_counted_unless_none_has_one(bench, voxels):
    address = first(bench)
    statuses = sorted(bench.folder.glob("a_blocks/**/STATUS.txt"))
    statuses[0].write_bytes(b"")  # as lazyflow leaves it
    out, _ = bench.run("run", after(bench, address))
    assert "1 of 8 blocks of the input were not checked" in out
    for status in statuses:
        status.write_bytes(b"")
    out, _ = bench.run("run", "--overwrite", after(bench, address))
    assert "not checked" not in out


def test_an_input_whose_job_was_killed_at_its_very_end_is_told(bench, voxels):
    address = first(bench, "a.npy")
    record = bench.folder / ".a.npy.blockmill" / "record"
    record.write_text(record.read_text().replace('"finished": true', '"finished": false'))
    out, _ = bench.run("run", after(bench, address))
    assert "8 of 8 blocks of the input were not checked" in out


def test_the_service_logs_what_was_not_checked(bench, voxels):
    address = first(bench)
    bench.serve()
    number = bench.submit(after(bench, address, roi=[[0, 0, 0], [32, 24, 32]], block_shape=[16, 24, 16]))
    with bench.client() as client:
        assert client.wait(number).state == "done"
        texts = [line.text for line in client.logs(number)]
    assert [text for text in texts if "4 of 8 blocks of the input were not checked" in text]
