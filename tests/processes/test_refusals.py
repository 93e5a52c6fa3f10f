"""Paths that the system refuses, streams that are closed or full, a hang-up: one line, no traceback."""

import os
import shlex
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest

COMMAND = [sys.executable, "-m", "blockmill"]


@pytest.fixture
def one_line(bench):
    """Runs a command that must end with one line on stderr; the line."""

    def run(*args, code=1):
        _, err = bench.run(*args, code=code)
        assert "Traceback" not in err
        assert len(err.splitlines()) == 1, err
        return err

    return run


@pytest.mark.parametrize(
    ("keys", "code", "words"),
    [
        ({"output": "/proc/x.json"}, 1, "lets nobody make files in that folder"),
        ({"output": "/dev/null/x.npy"}, 1, "/dev/null is no folder"),
        ({"output": "in.npy/x.npy"}, 1, "in.npy is no folder"),
        ({"output": f"{'x' * 300}.npy"}, 1, "File name too long"),
        ({"output": f"{'x' * 300}.h5/d"}, 1, "File name too long"),
        ({"input": f"{'x' * 300}.npy"}, 1, "File name too long"),
        ({"input": "loop.npy"}, 1, "Too many levels of symbolic links"),
        ({"input": "loop.h5/d"}, 1, "Too many levels of symbolic links"),
        ({"input": "in.npy/x.npy"}, 5, "does not exist"),
        ({"output": "folder.npy"}, 6, "is a folder, which is never replaced"),
        ({"output": "folder.json"}, 6, "is a folder, which is never replaced"),
    ],
)
def test_odd_paths_are_one_line(bench, one_line, keys, code, words):
    bench.volume()
    for name in ("folder.npy", "folder.json"):
        (bench.folder / name).mkdir()
    for name in ("loop.npy", "loop.h5"):
        (bench.folder / name).symlink_to(name)
    bench.job(**{"input": "in.npy", "output": "out.npy", "operation": "copy"} | keys)
    assert words in one_line("run", "job.yaml", "-q", "--overwrite", code=code)


def test_a_folder_with_a_name_that_is_no_text_is_told(bench):
    folder = os.path.join(os.fsencode(bench.folder), b"caf\xe9")
    os.mkdir(folder)
    bench.volume()
    os.rename(bench.folder / "in.npy", os.path.join(folder, b"in.npy"))
    with open(os.path.join(folder, b"job.yaml"), "w") as file:
        file.write("input: in.npy\noutput: out.npy\noperation: copy\n")
    done = subprocess.run(
        [*COMMAND, "run", "job.yaml"], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 5
    assert "Traceback" not in done.stderr
    assert 'input.address: the name "caf\\udce9" is not UTF-8' in done.stderr
    shown = subprocess.run(
        [*COMMAND, "volume", "info", os.path.join(folder, b"in.npy")], capture_output=True, timeout=60
    )
    assert (shown.returncode, b"[40, 30, 20]" in shown.stdout) == (0, True), shown


def test_an_output_folder_that_vanishes_during_the_run_fails_it_in_words(bench):
    bench.volume()
    job = bench.steps_job("steps:gated", {"gate": bench.gate}, output="sub/out.npy", workers=1, retries=0)
    process = bench.start("run", job, "-q")
    try:
        while not bench.begun():
            assert process.poll() is None
        os.rename(bench.folder / "sub", bench.folder / "moved")
    finally:
        bench.open_gate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert "sub" in err


def test_a_group_of_hdf5_that_cannot_be_visited_is_told(bench, monkeypatch):
    from blockmill.shared.errors import StorageError
    from blockmill.shared.volumes.hdf5.volume import Hdf5Volume

    def refused(*args):
        raise RuntimeError("Object visitation failed (can't read)")

    with h5py.File(bench.folder / "f.h5", "w") as file:
        file["v"] = np.zeros(3)
    monkeypatch.setattr(h5py.Group, "visititems", refused)
    with pytest.raises(StorageError, match=r"could not look into .*f\.h5: Object visitation failed"):
        _ = Hdf5Volume(bench.folder / "f.h5", "w").shape


# -- streams ------------------------------------------------------------------------


@pytest.mark.parametrize("stream", ["full", "closed", "ended"])
def test_a_run_goes_on_to_its_end_without_its_stdout(bench, stream):
    voxels = bench.volume()
    job = bench.job(input="in.npy", output="out.npy", operation="copy", block_shape=[4, 30, 20])
    command = " ".join(
        ["exec", shlex.join(COMMAND), "run", job, {"full": "> /dev/full", "closed": ">&-"}.get(stream, "")]
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=bench.folder, stdout=writer, stderr=subprocess.PIPE, text=True,
        timeout=60, check=False, env={**os.environ, **bench.environ},
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
    np.testing.assert_array_equal(np.load(bench.folder / "out.npy"), voxels)


def test_a_run_goes_on_with_a_full_stderr(bench):
    voxels = bench.volume()
    job = bench.steps_job("steps:says", workers=1)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "run", job], cwd=bench.folder, stdout=full, stderr=full, timeout=60, check=False
        )
    assert done.returncode == 0
    np.testing.assert_array_equal(np.load(bench.folder / "out.npy"), voxels)


@pytest.mark.parametrize(
    "verb", [["volume", "info", "in.npy"], ["volume", "info", "in.npy", "--json"], ["--help"]]
)
def test_output_that_cannot_be_printed_is_one_line(bench, verb):
    bench.volume()
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, *verb], cwd=bench.folder, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 1
    assert done.stderr.endswith("No space left on device\n")
    assert len(done.stderr.splitlines()) == 1


def test_ls_with_a_full_or_closed_stdout_is_one_line_at_most(bench):
    bench.volume()
    bench.serve()
    bench.submit(bench.job(input="in.npy", output="out.npy", operation="copy"))
    environ = {**os.environ, **bench.environ}
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, "ls"], stdout=full, stderr=subprocess.PIPE, timeout=60, env=environ)
    assert done.returncode == 1
    assert done.stderr == b"blockmill: stdout can't be written: No space left on device\n"
    closed = f"{shlex.join(COMMAND)} ls >&-"
    done = subprocess.run(["/bin/sh", "-c", closed], capture_output=True, timeout=60, env=environ)
    assert (done.returncode, done.stderr) == (0, b"")


# -- signals ------------------------------------------------------------------------


def test_a_hang_up_ends_a_run_as_ctrl_c_does(bench):
    voxels = bench.volume()
    process = bench.start("run", bench.steps_job("steps:gated", {"gate": bench.gate}, workers=2), "-q")
    while len(bench.begun()) < 2:
        assert process.poll() is None
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "interrupted; finished blocks are kept. To go on: blockmill run job.yaml\n"
    assert bench.leavings() == []
    bench.open_gate()
    bench.run("run", "job.yaml", "-q")
    np.testing.assert_array_equal(np.load(bench.folder / "out.npy"), voxels)


def test_a_run_under_nohup_ignores_a_hang_up(bench):
    bench.volume()
    bench.steps_job("steps:gated", {"gate": bench.gate}, workers=1)
    bench.command = ["nohup", *COMMAND]
    process = bench.start("run", "job.yaml", "-q")
    while not bench.begun():
        assert process.poll() is None
    process.send_signal(signal.SIGHUP)
    bench.open_gate()
    assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("module", ["click", "yaml"])
def test_ctrl_c_while_modules_are_imported_is_one_word(bench, module):
    (bench.folder / f"{module}.py").write_text("raise KeyboardInterrupt\n")
    bench.volume()
    bench.job(input="in.npy", output="out.npy", operation="copy")
    done = subprocess.run(
        [sys.executable, "-c", "from blockmill.__main__ import main; main()", "run", "job.yaml"],
        cwd=bench.folder, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, **bench.environ, "PYTHONPATH": str(bench.folder)},
    )  # fmt: skip
    assert (done.returncode, done.stderr.strip()) == (130, "interrupted")


# -- messages -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("def step(block):\n    return block + None\n", "TypeError: unsupported operand"),
        ("def step(block):\n    return unknown\n", "NameError: name 'unknown'"),
        ("def step(block):\n    return block[0]\n", "function own:step returned an array of shape (30, 20)"),
        ("def step(block):\n    return block * 0.5\n", "function own:step returned float64"),
    ],
)
def test_a_failure_that_cannot_change_is_tried_and_told_once(bench, function, reason):
    bench.volume()
    (bench.folder / "own.py").write_text(function)
    job = bench.steps_job("own:step", workers=1)
    _, err = bench.run("run", job, "-q", code=1)
    assert err.count(reason) == 1
    assert "tried again" not in err


def test_other_failures_are_tried_again(bench):
    bench.volume()
    job = bench.steps_job("steps:raises", {"at": [0, 0, 0]}, workers=1)
    _, err = bench.run("run", job, "-q", code=1)
    assert err.count("is tried again after attempt") == 2
    assert err.count("RuntimeError: no luck today") == 3


def test_a_pool_of_the_users_function_ends_without_a_word(bench):
    voxels = bench.volume()
    (bench.folder / "own.py").write_text(
        "import multiprocessing\n"
        "def same(n):\n    return n\n"
        "def step(block):\n"
        "    with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "        assert pool.map(same, range(3)) == [0, 1, 2]\n"
        "    return block\n"
    )
    _, err = bench.run("run", bench.steps_job("own:step", workers=1), "-q")
    assert err == ""
    np.testing.assert_array_equal(np.load(bench.folder / "out.npy"), voxels)


def test_paths_with_steps_upwards_are_told_without_them(bench):
    bench.volume()
    (bench.folder / "jobs").mkdir()
    bench.job("jobs/job.yaml", input="../gone.npy", output="../out.npy", operation="copy")
    _, err = bench.run("run", "jobs/job.yaml", "-q", code=5)
    assert str(bench.folder / "gone.npy") in err
    assert ".." not in err


def test_a_volume_in_place_of_a_job_is_known(bench):
    bench.run("volume", "create", "cells.json", "--shape", "8,8,8")
    _, err = bench.run("run", "cells.json", code=5)
    assert err.startswith("blockmill: cells.json: this describes a volume, and is no job")
    assert len(err.splitlines()) == 1


def test_the_hint_after_an_interruption_can_be_pasted(bench):
    bench.volume()
    bench.steps_job("steps:gated", {"gate": bench.gate}, workers=1)
    os.rename(bench.folder / "job.yaml", bench.folder / "my job [1].yaml")
    process = bench.start("run", "my job [1].yaml", "-q")
    while not bench.begun():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert err.endswith("To go on: blockmill run 'my job [1].yaml'\n")
