"""Nothing of the user's is destroyed: what an output owns, what is in its way, what is refused."""

import os
import shutil
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest

from blockmill import BlockwiseFileset, FilesetDescription, Roi

REFUSED, WRONG, OK = 6, 5, 0


def snapshot(folder):
    """Every file below a folder by inode and content, links by where they lead; what runs keep left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if "runtime" in name or "config" in name:
            continue
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file():
            found[name] = (path.stat().st_ino, path.read_bytes())
        else:
            found[name] = None
    return found


def refused(bench, *words, code=REFUSED):
    """What a command says that is refused and changes nothing."""
    before = snapshot(bench.folder)
    _, err = bench.run(*words, "-q", code=code)
    assert "Traceback" not in err
    after = snapshot(bench.folder)
    assert {k: v for k, v in after.items() if k in before} == before
    assert set(after) == set(before)
    return err


def fileset(path, voxels, **more):
    description = FilesetDescription(
        axes="zyx",
        shape=voxels.shape,
        dtype=voxels.dtype,
        block_shape=(20, 30, 20),
        block_file_name_format="block-{roiString}.h5/volume/data",
        **more,
    )
    with BlockwiseFileset.create(path, description) as made:
        made.write(Roi.from_shape(voxels.shape), voxels)


@pytest.fixture
def cells(bench):
    """A fileset `cells.json`, and its voxels."""
    voxels = bench.volume()
    fileset(bench.folder / "cells.json", voxels, dataset_root_dir="cells_blocks")
    return voxels


# ------------------------------------------------------- an output is no part of its own input


def test_a_view_of_the_same_blocks_is_no_output(bench, cells):
    shutil.copy(bench.folder / "cells.json", bench.folder / "view.json")
    bench.job(input="view.json", output="cells.json", operation="copy")
    for words in ([], ["--overwrite"]):
        assert "cells_blocks" in refused(bench, "run", "job.yaml", *words, code=WRONG)
    np.testing.assert_array_equal(bench.read("cells.json"), cells)


@pytest.mark.parametrize("link", ["symlink of the blocks", "symlink of the folder", "symlink of the file"])
def test_links_to_the_input_are_no_output(bench, cells, link):
    output = "out.json"
    if link == "symlink of the blocks":
        (bench.folder / "out_blocks").symlink_to("cells_blocks")
    elif link == "symlink of the folder":
        (bench.folder / "other").symlink_to(bench.folder)
        output = "other/cells.json"
    else:
        (bench.folder / "out.json").symlink_to("cells.json")
    bench.job(input="cells.json", output=output, operation="copy")
    refused(bench, "run", "job.yaml", "--overwrite", code=WRONG)
    np.testing.assert_array_equal(bench.read("cells.json"), cells)


def test_a_hard_link_to_the_input_is_no_output(bench):
    bench.volume()
    os.link(bench.folder / "in.npy", bench.folder / "out.npy")
    bench.job(input="in.npy", output="out.npy", operation="copy")
    assert "in.npy" in refused(bench, "run", "job.yaml", "--overwrite", code=WRONG)


@pytest.mark.parametrize("way", ["external link", "virtual dataset", "raw file"])
def test_files_that_the_input_leads_to_are_no_output(bench, way):
    voxels = bench.volume()
    output = "raw.h5/x"
    with h5py.File(bench.folder / "raw.h5", "w") as file:
        file["x"] = voxels
    with h5py.File(bench.folder / "in.h5", "w") as file:
        if way == "external link":
            file["v"] = h5py.ExternalLink("raw.h5", "x")
        elif way == "virtual dataset":
            layout = h5py.VirtualLayout(voxels.shape, voxels.dtype)
            layout[:] = h5py.VirtualSource("raw.h5", "x", voxels.shape)
            file.create_virtual_dataset("v", layout)
        else:
            output = "raw.npy"
            (bench.folder / "raw.npy").write_bytes(voxels.tobytes())
            file.create_dataset("v", voxels.shape, voxels.dtype, external=[("raw.npy", 0, voxels.nbytes)])
    bench.job(input="in.h5/v", output=output, operation="copy")
    assert "raw." in refused(bench, "run", "job.yaml", "--overwrite", code=WRONG)


def test_one_block_file_of_an_output_is_no_input_of_it(bench, cells):
    block = next((bench.folder / "cells_blocks").rglob("*.h5"))
    bench.job(input=f"{block}/volume/data", output="cells.json", operation="copy")
    refused(bench, "run", "job.yaml", "--overwrite", code=WRONG)


def test_a_fileset_whose_blocks_lie_beside_its_description_leaves_room_for_outputs(bench):
    voxels = bench.volume()
    fileset(bench.folder / "cells.json", voxels, dataset_root_dir=".")
    bench.job(input="cells.json", output="out.json", operation="copy")
    bench.run("run", "job.yaml")
    np.testing.assert_array_equal(bench.read(), voxels)
    block = next(bench.folder.glob("z_*"))
    bench.job(input="cells.json", output=f"{block}/out.npy", operation="copy")
    refused(bench, "run", "job.yaml", code=WRONG)


# --------------------------------------------------------- a file that holds more than the output


def test_another_dataset_of_the_same_file_is_another_output(bench):
    voxels = bench.volume()
    bench.run("run", bench.job(input="in.npy", output="out.h5/a", operation="copy"))
    with h5py.File(bench.folder / "out.h5", "r+") as file:
        file["mine"] = voxels[:3]
    bench.job(input="in.npy", output="out.h5/b", operation="copy")
    assert "inside" in refused(bench, "run", "job.yaml")
    assert "also holds" in refused(bench, "run", "job.yaml", "--overwrite")
    with h5py.File(bench.folder / "out.h5") as file:
        assert sorted(file) == ["a", "mine"]


@pytest.mark.parametrize(
    "put",
    [
        lambda file: file.__setitem__("v/other", [1]),
        lambda file: file.create_group("notes"),
        lambda file: file.__setitem__("raw", h5py.ExternalLink("t.h5", "x")),
        lambda file: file.__setitem__("soft", h5py.SoftLink("/v/data")),
        lambda file: file.__setitem__("hard", file["v/data"]),
        lambda file: file.__setitem__("type", np.dtype("u2")),
        lambda file: file.attrs.__setitem__("project", "kept for years"),
        lambda file: file["v"].attrs.__setitem__("note", "mine"),
    ],
    ids=["dataset", "group", "external", "soft", "hard", "type", "attribute", "attribute of a group"],
)
def test_what_else_an_hdf5_file_holds_is_never_lost(bench, put):
    voxels = bench.volume()
    with h5py.File(bench.folder / "out.h5", "w") as file:
        file["v/data"] = voxels
        put(file)
    bench.job(input="in.npy", output="out.h5/v/data", operation="copy")
    assert "run with --overwrite" not in refused(bench, "run", "job.yaml")
    assert "also holds" in refused(bench, "run", "job.yaml", "--overwrite")


def test_an_hdf5_file_is_looked_into_whatever_its_name(bench):
    voxels = bench.volume()
    with h5py.File(bench.folder / "out.npy", "w") as file:
        file["v/data"] = voxels
    bench.job(input="in.npy", output="out.npy", operation="copy")
    assert "also holds v" in refused(bench, "run", "job.yaml", "--overwrite")


def test_a_file_with_nothing_but_the_dataset_is_replaced_on_request(bench):
    voxels = bench.volume()
    with h5py.File(bench.folder / "out.h5", "w") as file:
        file["v/data"] = voxels[:2]
        file["v/data"].attrs["note"] = "part of the dataset"
    bench.job(input="in.npy", output="out.h5/v/data", operation="copy")
    bench.run("run", "job.yaml", "--overwrite")
    np.testing.assert_array_equal(bench.read("out.h5/v/data"), voxels)


# ------------------------------------------------------- what can't be opened is never unlinked


@pytest.fixture
def finished(bench):
    """An output of four blocks, finished, and its job."""
    voxels = bench.volume()
    bench.job(input="in.npy", output="out.h5/v", operation="copy", block_shape=[10, 30, 20])
    bench.run("run", "job.yaml")
    return voxels


def test_a_finished_output_that_a_viewer_has_open_is_left_alone(bench, finished):
    with h5py.File(bench.folder / "out.h5", "r+"):
        for words in ([], ["--overwrite"]):
            assert "out.h5" in refused(bench, "run", "job.yaml", *words)
    bench.run("run", "job.yaml")
    np.testing.assert_array_equal(bench.read("out.h5/v"), finished)


def half_done(bench, wait_until, output):
    bench.volume()
    process = bench.start(
        "run", bench.steps_job("steps:gated", {"gate": bench.gate, "free": 20}, output=output)
    )
    wait_until(lambda: len(bench.begun()) == 4, "two blocks that wait")
    wait_until(lambda: bench.finished_blocks(output) == 2, "two finished ones")
    process.send_signal(signal.SIGINT)
    process.communicate()
    return bench.folder / f".{output.split('/')[0]}.blockmill"


def test_a_partial_output_that_is_open_elsewhere_is_not_begun_anew(bench, wait_until):
    ours = half_done(bench, wait_until, "out.h5/v")
    with h5py.File(ours / "partial", "r+"):
        assert "partial" in refused(bench, "run", "job.yaml")
    before = bench.times_begun()
    bench.open_gate()
    bench.run("run", "job.yaml")
    again = bench.times_begun() - before
    assert sum(again.values()) == 2
    np.testing.assert_array_equal(bench.read("out.h5/v"), bench.read("in.npy"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_output_that_may_not_be_read_is_left_alone(bench, finished):
    (bench.folder / "out.h5").chmod(0)
    try:
        for words in ([], ["--overwrite"]):
            _, err = bench.run("run", "job.yaml", "-q", *words, code=REFUSED)
            assert "out.h5" in err
    finally:
        (bench.folder / "out.h5").chmod(0o644)


def test_a_finished_output_that_was_cut_short_is_told_and_left_alone(bench, finished):
    os.truncate(bench.folder / "out.h5", 2000)
    for words in ([], ["--overwrite"]):
        refused(bench, "run", "job.yaml", *words)


def test_a_finished_output_whose_checksums_are_gone_is_left_alone(bench, finished):
    (bench.folder / ".out.h5.blockmill" / "ledger").unlink()
    assert "ledger" in refused(bench, "run", "job.yaml")


@pytest.mark.parametrize("output", ["out.h5/v", "out.npy"])
def test_a_finished_output_that_somebody_has_corrected_is_left_to_him(bench, output):
    bench.volume()
    bench.run("run", bench.job(input="in.npy", output=output, operation="copy"))
    if output.endswith("npy"):
        (bench.folder / "out.npy").unlink()
        np.save(bench.folder / "mine.npy", np.zeros((40, 30, 20), "u1"))
        (bench.folder / "out.npy").symlink_to("mine.npy")
    else:
        with h5py.File(bench.folder / "out.h5", "r+") as file:
            file["v"][0] = 0
    assert "no longer what this job wrote" in refused(bench, "run", "job.yaml")


def test_a_description_that_leads_to_blocks_of_others_is_not_gone_on_with(bench):
    bench.volume()
    bench.run("run", bench.job("a.yaml", input="in.npy", output="out.json", operation="copy"))
    bench.run(
        "run",
        bench.job("b.yaml", input="in.npy", output="mine.json", operation={"threshold": {"above": 100}}),
    )
    shutil.copy(bench.folder / "mine.json", bench.folder / "out.json")
    assert "dataset_root_dir" in refused(bench, "run", "a.yaml")


def test_a_link_among_the_blocks_is_not_written_through(bench, cells):
    (bench.folder / "out_blocks").mkdir()
    block = next((bench.folder / "cells_blocks").iterdir()).name
    (bench.folder / "out_blocks" / block).symlink_to(f"../cells_blocks/{block}")
    bench.job(input="cells.json", output="out.json", operation={"threshold": {"above": 100}})
    assert "is a link" in refused(bench, "run", "job.yaml", "--overwrite")


def test_a_link_deep_among_the_blocks_is_not_written_through(bench, cells):
    bench.job(input="cells.json", output="out.json", operation={"threshold": {"above": 100}})
    bench.run("run", "job.yaml")
    block = next(path.parent for path in (bench.folder / "out_blocks").rglob("STATUS.txt"))
    shutil.rmtree(block)
    block.symlink_to(bench.folder / "cells_blocks" / block.relative_to(bench.folder / "out_blocks"))
    assert f"{block} is a link" in refused(bench, "run", "job.yaml", "--overwrite")


def test_blocks_that_another_description_uses_are_not_replaced(bench):
    fileset(bench.folder / "mine.json", bench.volume(), dataset_root_dir="out_blocks")
    bench.job(input="in.npy", output="out.json", operation={"threshold": {"above": 100}})
    for words in ([], ["--overwrite"]):
        err = refused(bench, "run", "job.yaml", *words)
        assert f"holds the blocks of {bench.folder / 'mine.json'}; name another" in err


def test_a_folder_of_blocks_that_is_exchanged_while_the_job_runs_is_told(bench, wait_until):
    bench.volume()
    process = bench.start("run", bench.gated_job())
    wait_until(bench.begun, "a block that waits")
    (bench.folder / "out_blocks").rename(bench.folder / "moved")
    (bench.folder / "elsewhere").mkdir()
    (bench.folder / "out_blocks").symlink_to("elsewhere")
    bench.open_gate()
    _, err = process.communicate()
    assert process.returncode == REFUSED, err
    assert "was exchanged while this job ran" in err


def test_a_way_up_behind_a_link_leads_to_one_place(bench, cells):
    (bench.folder / "far" / "inner").mkdir(parents=True)
    (bench.folder / "link").symlink_to("far/inner")
    for name in ("cells.json", "cells_blocks"):
        (bench.folder / name).rename(bench.folder / "far" / name)
    bench.job(input="far/cells.json", output="link/../cells.json", operation={"threshold": {"above": 1}})
    assert "is the input itself" in refused(bench, "run", "job.yaml", "--overwrite", code=WRONG)
    bench.run("run", bench.job(input="link/../cells.json", output="link/../out.json", operation="copy"))
    np.testing.assert_array_equal(bench.read("far/out.json"), cells)
    assert not (bench.folder / "out.json").exists()
    assert not (bench.folder / "out_blocks").exists()


# ------------------------------------------------------------------- names that we need


@pytest.mark.parametrize("name", ["p.npy.blocks", "p.npy.job", "p.npy.partial"])
def test_files_of_the_user_beside_an_output_are_none_of_ours(bench, name):
    bench.volume()
    (bench.folder / name).write_text("mine\n")
    bench.run("run", bench.job(input="in.npy", output="p.npy", operation="copy"))
    assert (bench.folder / name).read_text() == "mine\n"
    bench.run("run", "job.yaml", "--overwrite")
    assert (bench.folder / name).read_text() == "mine\n"


@pytest.mark.parametrize("name", ["ledger", "partial", "record"])
@pytest.mark.parametrize("words", [[], ["--overwrite"]], ids=["", "overwrite"])
def test_a_file_that_has_a_name_of_ours_stops_the_job_and_is_named(bench, name, words):
    bench.volume()
    ours = bench.folder / ".p.npy.blockmill"
    ours.mkdir()
    (ours / name).write_text("mine\n")
    bench.job(input="in.npy", output="p.npy", operation="copy")
    assert f".p.npy.blockmill/{name}" in refused(bench, "run", "job.yaml", *words)


@pytest.mark.parametrize("words", [[], ["--overwrite"]], ids=["", "overwrite"])
@pytest.mark.parametrize("make", ["file", "link"])
def test_something_else_in_the_place_of_the_hidden_folder_stops_the_job(bench, make, words):
    bench.volume()
    ours = bench.folder / ".p.npy.blockmill"
    (bench.folder / "elsewhere").mkdir()
    ours.write_text("mine") if make == "file" else ours.symlink_to("elsewhere")
    bench.job(input="in.npy", output="p.npy", operation="copy")
    assert ".p.npy.blockmill is in the way" in refused(bench, "run", "job.yaml", *words)


def test_a_dangling_link_at_the_outputs_name_is_not_replaced_silently(bench):
    bench.volume()
    (bench.folder / "p.npy").symlink_to("nowhere.npy")
    bench.job(input="in.npy", output="p.npy", operation="copy")
    assert "p.npy exists" in refused(bench, "run", "job.yaml")


def test_a_file_that_comes_to_be_while_the_job_runs_stays(bench, wait_until):
    bench.volume()
    process = bench.start("run", bench.steps_job("steps:gated", {"gate": bench.gate}))
    wait_until(bench.begun, "a block that waits")
    (bench.folder / "out.npy").write_text("mine\n")
    bench.open_gate()
    _, err = process.communicate()
    assert process.returncode == REFUSED
    assert "out.npy has come to be" in err
    assert (bench.folder / "out.npy").read_text() == "mine\n"
    (bench.folder / "out.npy").unlink()
    before = bench.times_begun()
    bench.run("run", "job.yaml")
    assert bench.times_begun() == before
    np.testing.assert_array_equal(bench.read("out.npy"), bench.read("in.npy"))


@pytest.mark.parametrize(
    ("output", "make"),
    [
        ("afile/out.npy", lambda folder: (folder / "afile").touch()),
        ("dir.npy", lambda folder: (folder / "dir.npy").mkdir()),
        ("dir.json", lambda folder: (folder / "dir.json").mkdir()),
        ("dir.h5/v", lambda folder: (folder / "dir.h5").mkdir()),
        ("x.json", lambda folder: (folder / "x_blocks").touch()),
        ("/proc/nope/out.npy", lambda folder: None),
        ("/dev/full/out.npy", lambda folder: None),
        (f"{'n' * 250}.npy", lambda folder: None),
        (f"{'d/' * 2100}out.npy", lambda folder: None),
    ],
    ids=[
        "below a file",
        "folder npy",
        "folder json",
        "folder h5",
        "blocks",
        "proc",
        "device",
        "name",
        "path",
    ],
)
@pytest.mark.parametrize("words", [[], ["--overwrite"]], ids=["", "overwrite"])
def test_an_output_that_can_not_be_is_told_in_one_line(bench, output, make, words):
    bench.volume()
    make(bench.folder)
    bench.job(input="in.npy", output=output, operation="copy")
    _, err = bench.run("run", "job.yaml", "-q", *words, code=expected_code(output))
    assert "Traceback" not in err and err.startswith("blockmill: ")
    assert len(err.strip().splitlines()) == 1
    assert (bench.folder / "in.npy").exists()


def expected_code(output):
    return WRONG if output.startswith("dir.h5") else (REFUSED if output.startswith(("dir", "x.json")) else 1)


# ------------------------------------------------------------------------- overwriting


def test_blocks_that_an_old_description_keeps_elsewhere_stay(bench, cells):
    shutil.copy(bench.folder / "cells.json", bench.folder / "view.json")
    bench.job(input="in.npy", output="view.json", operation="copy")
    assert "view.json exists" in refused(bench, "run", "job.yaml")
    bench.run("run", "job.yaml", "--overwrite")
    np.testing.assert_array_equal(bench.read("cells.json"), cells)
    np.testing.assert_array_equal(bench.read("view.json"), cells)


def test_files_of_the_user_among_the_blocks_stay_when_they_are_replaced(bench):
    bench.volume()
    bench.run("run", bench.job(input="in.npy", output="out.json", operation="copy"))
    block = next((bench.folder / "out_blocks").rglob("*.h5"))
    mine = [bench.folder / "out_blocks" / "notes.txt", block.with_name("notes.txt")]
    for path in mine:
        path.write_text("mine")
    bench.job(input="in.npy", output="out.json", operation={"threshold": {"above": 100}})
    bench.run("run", "job.yaml", "--overwrite")
    assert [path.read_text() for path in mine] == ["mine", "mine"]


def test_an_overwritten_output_leaves_nothing_of_the_old_job(bench):
    bench.volume()
    bench.run("run", bench.job(input="in.npy", output="out.npy", operation="copy"))
    bench.job(input="in.npy", output="out.npy", operation={"threshold": {"above": 100}})
    assert "operation" in refused(bench, "run", "job.yaml")
    bench.run("run", "job.yaml", "--overwrite")
    np.testing.assert_array_equal(bench.read("out.npy") > 0, bench.read("in.npy") > 100)
    assert sorted(path.name for path in (bench.folder / ".out.npy.blockmill").iterdir()) == [
        "ledger",
        "record",
    ]


# ------------------------------------------------------------------ records of version 0.1


def as_version_0_1(folder, name):
    """Put what lies in the hidden folder where version 0.1 kept it."""
    ours = folder / f".{name}.blockmill"
    for new, old in (("record", "job"), ("ledger", "blocks"), ("partial", "partial")):
        if (ours / new).exists():
            (ours / new).rename(folder / f"{name}.{old}")
    ours.rmdir()


@pytest.mark.parametrize("output", ["out.npy", "out.h5/v", "out.json"])
def test_an_output_that_version_0_1_has_half_done_is_taken_up(bench, wait_until, output):
    half_done(bench, wait_until, output)
    name = output.split("/")[0]
    as_version_0_1(bench.folder, name)
    before = bench.times_begun()
    bench.open_gate()
    bench.run("run", "job.yaml")
    assert sum((bench.times_begun() - before).values()) == 2
    np.testing.assert_array_equal(bench.read(output), bench.read("in.npy"))
    left = {p.name for p in bench.folder.iterdir() if p.name.startswith((name, f".{name}"))}
    assert left == {name, f".{name}.blockmill"}


def test_a_run_of_version_0_1_and_one_of_ours_exclude_each_other(bench):
    bench.volume()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(bench.folder / "out.npy.job")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        holder.stdout.readline()
        bench.job(input="in.npy", output="out.npy", operation="copy")
        assert "another run is writing" in bench.run("run", "job.yaml", "-q", code=REFUSED)[1]
    finally:
        holder.communicate()
    bench.run("run", "job.yaml")


HOLDS = """
import sys
import blockmill
with blockmill.FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_fileset_that_came_without_its_record_is_taken_up_by_what_its_blocks_say(bench):
    bench.volume()
    bench.run("run", bench.steps_job("steps:gated", {"gate": bench.gate, "free": 1000}, output="out.json"))
    shutil.rmtree(bench.folder / ".out.json.blockmill")
    before = bench.times_begun()
    bench.open_gate()
    bench.run("run", "job.yaml")
    assert bench.times_begun() == before
    bench.job(input="in.npy", output="out.json", operation="copy", block_shape=[10, 30, 20])
    shutil.rmtree(bench.folder / ".out.json.blockmill")
    assert "no record" in refused(bench, "run", "job.yaml")


# ------------------------------------------------------------------- jobs of the service


@pytest.fixture
def service(bench):
    bench.volume()
    bench.serve()
    yield bench
    bench.open_gate()
    bench.end_service()


def refusal(bench, job, *words):
    return bench.run("submit", job, *words, code=REFUSED)[1]


def test_jobs_that_have_not_ended_keep_their_places(service, wait_until):
    number = service.submit(service.gated_job("out.json"))
    wait_until(service.begun, "a block that waits")
    (service.folder / "link").symlink_to(service.folder)
    copied = {"operation": "copy"}
    cases = {
        "the output itself": ({"input": "in.npy", "output": "out.json"}, "writes"),
        "the same output by a link": ({"input": "in.npy", "output": "link/out.json"}, "writes"),
        "something among its blocks": (
            {"input": "in.npy", "output": "out_blocks/z_00000000/x.npy"},
            "writes",
        ),
        "its input": ({"input": "steps.npy", "output": "in.npy"}, "reads"),
        "an input that it writes": ({"input": "out.json", "output": "next.npy"}, "which this job reads"),
    }
    np.save(service.folder / "steps.npy", np.zeros((4, 4, 4), "u1"))
    for what, (volumes, why) in cases.items():
        service.job("other.yaml", **volumes, **copied)
        text = refusal(service, "other.yaml", "--overwrite", "--no-check")
        assert f"job {number} (job), which has not ended" in text and why in text, what
        assert f"--after {number}" in text
    service.job("other.yaml", input="out.json", output="next.npy", **copied)
    service.run("submit", "other.yaml", "--after", str(number), "--no-check")


def test_places_are_known_again_after_a_restart(service, wait_until):
    number = service.submit(service.gated_job("out.json"))
    wait_until(service.begun, "a block that waits")
    service.kill_service()
    service.serve()
    service.job("other.yaml", input="steps.npy", output="in.npy", operation="copy")
    np.save(service.folder / "steps.npy", np.zeros((4, 4, 4), "u1"))
    assert f"job {number} (job), which has not ended, reads" in refusal(service, "other.yaml", "--overwrite")


def test_what_a_finished_chain_has_read_may_be_replaced_by_its_last_job(service):
    service.open_gate()
    first = service.submit(service.job("a.yaml", input="in.npy", output="b.npy", operation="copy"))
    service.job("b.yaml", input="b.npy", output="in.npy", operation={"threshold": {"above": 100}})
    service.run("submit", "b.yaml", "--after", str(first), "--no-check", "--overwrite", "--wait")
    assert set(np.unique(np.load(service.folder / "in.npy"))) == {0, 1}
