"""``volume clean``: what dead runs leave goes, and nothing else does."""

import json
import os
import shutil
import signal

import numpy as np
import pytest

pytestmark = pytest.mark.processes


def files_below(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if "runtime" not in p.parts and p.is_file()}


def killed(bench, wait_until, output, free=20):
    """A run that is killed when two blocks are done and two wait; how it left the folder."""
    bench.volume()

    job = bench.steps_job("steps:gated", {"gate": bench.gate, "free": free}, output=output)
    process = bench.start("run", job)
    wait_until(lambda: len(bench.begun()) == 4, "blocks that wait")
    wait_until(lambda: bench.finished_blocks(output) == 2, "two finished ones")
    children = bench.children_of(process)
    process.kill()
    process.communicate()
    wait_until(lambda: bench.gone(children), "the end of the workers")
    shutil.rmtree(bench.runtime)
    bench.runtime.mkdir(mode=0o700)


def clean(bench, address, *words):
    done = json.loads(bench.run("volume", "clean", address, "--json", *words)[0])
    return done["removed"], done["kept"]


@pytest.mark.parametrize("output", ["out.npy", "out.h5/v", "out.json"])
def test_locks_of_the_dead_go_and_what_a_run_goes_on_with_stays(bench, wait_until, output):
    killed(bench, wait_until, output)
    name = output.split("/")[0]
    candidate = bench.folder / f".{name}.blockmill" / "record.partial-0123456789ab"
    candidate.touch()
    removed, kept = clean(bench, output)
    assert {path for path in removed if "dead writers" not in path} == {
        f".{name}.blockmill/lock",
        f".{name}.blockmill/record.partial-0123456789ab",
        f"{name}.job.lock",
    }
    assert bool(kept) == (output != "out.json")
    assert not bench.leavings()
    before = bench.times_begun()
    bench.open_gate()
    bench.run("run", "job.yaml")
    assert sum((bench.times_begun() - before).values()) == 2
    np.testing.assert_array_equal(bench.read(output), bench.read("in.npy"))


def test_what_an_unfinished_run_has_merged_goes_where_that_is_asked_for(bench, wait_until):
    killed(bench, wait_until, "out.npy")
    removed, kept = clean(bench, "out.npy", "--unfinished")
    assert kept == [] and any(path.endswith("partial") for path in removed)
    assert not (bench.folder / ".out.npy.blockmill").exists()


@pytest.mark.parametrize("output", ["out.npy", "out.json"])
def test_the_record_of_an_output_that_is_gone_goes(bench, output):
    bench.volume()
    bench.run("run", bench.job(input="in.npy", output=output, operation="copy"))
    (bench.folder / output).unlink()
    shutil.rmtree(bench.folder / "out_blocks", ignore_errors=True)
    clean(bench, output)
    assert not (bench.folder / f".{output}.blockmill").exists()


@pytest.mark.parametrize("output", ["out.npy", "out.h5/v", "out.json", "in.npy", "none.npy", "no.json"])
def test_where_nothing_is_left_nothing_is_touched(bench, output):
    bench.volume()

    made = "out.npy" if output.startswith(("in", "no")) else output
    bench.job(input="in.npy", output=made, operation="copy")
    bench.run("run", "job.yaml")
    (bench.folder / "in.npy.job").write_text("mine")
    (bench.folder / "in.npy.partial").write_text("mine")
    before = files_below(bench.folder)
    assert clean(bench, output, "--unfinished") == ([], [])
    assert files_below(bench.folder) == before
    assert "nothing to remove" in bench.run("volume", "clean", output)[0]


def test_an_output_that_a_run_is_writing_is_refused(bench, wait_until):
    bench.volume()
    process = bench.start("run", bench.steps_job("steps:gated", {"gate": bench.gate}))
    wait_until(bench.begun, "a block that waits")

    before = {path for path in files_below(bench.folder) if "begun" not in path}
    assert "another run is writing" in bench.run("volume", "clean", "out.npy", "--unfinished", code=6)[1]
    assert {path for path in files_below(bench.folder) if "begun" not in path} == before
    bench.open_gate()
    process.communicate()
    assert process.returncode == 0


def test_files_of_others_in_the_hidden_folder_are_named_and_stay(bench):
    ours = bench.folder / ".out.npy.blockmill"
    ours.mkdir()
    (ours / "partial").write_text("mine")
    removed, kept = clean(bench, "out.npy", "--unfinished")
    assert removed == [] and "in the way" in kept[0]
    assert (ours / "partial").read_text() == "mine"


def test_folders_of_dry_runs_that_were_killed_go_and_others_stay(bench, wait_until):
    bench.volume()
    job = bench.steps_job("steps:gated", {"gate": bench.gate})
    process = bench.start("run", "--dry-run", job)
    wait_until(bench.begun, "a block that waits")
    folder = next(bench.folder.glob(".blockmill-dry-run-*"))
    assert clean(bench, "out.npy") == ([], [])
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    mine = bench.folder / ".blockmill-dry-run-mine"
    mine.mkdir()
    assert clean(bench, "out.npy")[0] == [folder.name]
    assert mine.exists() and not folder.exists()
