"""What a job reads changes, during a run or between two: blocks of both are never mixed in silence."""

import os
import signal
import textwrap

import h5py
import numpy as np
import pytest

from blockmill import Client, Job

FAILED, REFUSED = 1, 6
ROWS = 10

CODE = """
import os, time
from pathlib import Path
from amounts import amount

def add(block, context, gate):
    Path(f"{gate}.begun-{context.roi.start[0]}-{os.getpid()}").touch()
    while context.roi.start[0] >= 20 and not Path(gate).exists():
        time.sleep(0.005)
    return block + amount()
"""
AMOUNT = "from pathlib import Path\nimport numpy as np\ndef amount():\n    return {}\n"
FROM_DATA = "int(np.load(Path(__file__).with_name('w.npy')))"


@pytest.fixture
def code(bench):
    """A folder of code, apart from everything else: `adding:add` adds `amounts:amount()`."""
    folder = bench.folder / "code"
    folder.mkdir()
    (folder / "adding.py").write_text(textwrap.dedent(CODE))
    (folder / "amounts.py").write_text(AMOUNT.format(1))
    return folder


def job(bench, source="in.npy", output="out.npy", **fields):
    return bench.job(
        input=source,
        output={"address": output, "block_shape": [ROWS, 30, 20]} if output.endswith("json") else output,
        block_shape=[ROWS, 30, 20],
        operation={"python": {"function": "adding:add", "args": {"gate": bench.gate}}},
        **{"user_code": "code", **fields},
    )


def cut_off(bench, wait_until, output="out.npy"):
    """Run the job until two of its four blocks are finished and the others wait; then end it."""
    process = bench.start("run", "job.yaml", "-w", "2")
    wait_until(lambda: len(bench.begun()) == 4, "both gated blocks")
    wait_until(lambda: bench.finished_blocks(output) == 2, "the free ones")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    bench.open_gate()


def write_parts(bench, voxels):
    half = len(voxels) // 2
    for name, part in (("a.h5", voxels[:half]), ("b.h5", voxels[half:])):
        with h5py.File(bench.folder / name, "w") as file:
            file["d"] = part


def virtual(bench, voxels):
    write_parts(bench, voxels)
    layout, half = h5py.VirtualLayout(voxels.shape, voxels.dtype), len(voxels) // 2
    layout[:half] = h5py.VirtualSource("a.h5", "d", voxels[:half].shape)
    layout[half:] = h5py.VirtualSource("b.h5", "d", voxels[half:].shape)
    with h5py.File(bench.folder / "in.h5", "w", libver="latest") as file:
        file.create_virtual_dataset("v", layout)


def linked(bench, voxels):
    with h5py.File(bench.folder / "far.h5", "w") as file:
        file["d"] = voxels
    with h5py.File(bench.folder / "in.h5", "w") as file:
        file["v"] = h5py.ExternalLink("far.h5", "d")


def raw(bench, voxels):
    path = bench.folder / "far.raw"
    path.write_bytes(voxels.tobytes())
    if not (bench.folder / "in.h5").exists():
        with h5py.File(bench.folder / "in.h5", "w") as file:
            pieces = [(str(path), 0, voxels.nbytes)]
            file.create_dataset("v", voxels.shape, voxels.dtype, external=pieces)


@pytest.mark.parametrize("make", [virtual, linked, raw])
def test_files_that_an_input_leads_to_are_part_of_it(bench, code, wait_until, make):
    voxels = bench.volume()
    make(bench, voxels)
    job(bench, "in.h5/v")
    cut_off(bench, wait_until)
    content = (bench.folder / "in.h5").read_bytes()
    facts = (bench.folder / "in.h5").stat()
    make(bench, voxels + 1)
    (bench.folder / "in.h5").write_bytes(content)
    os.utime(bench.folder / "in.h5", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    _, err = bench.run("run", "job.yaml", code=REFUSED)
    assert "the input's files have changed since" in err


def test_an_input_whose_times_were_set_back_is_seen_to_have_changed(bench, code, wait_until):
    voxels = bench.volume()
    job(bench)
    cut_off(bench, wait_until)
    path, facts = bench.folder / "in.npy", (bench.folder / "in.npy").stat()
    array = np.lib.format.open_memmap(path, "r+")
    array[:] = voxels + 1
    array.flush()
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    _, err = bench.run("run", "job.yaml", code=REFUSED)
    assert "the content of the input's files has changed since" in err


def test_a_hard_link_or_other_rights_are_no_change(bench, code, wait_until):
    voxels = bench.volume()
    job(bench)
    cut_off(bench, wait_until)
    (bench.folder / "backup.npy").hardlink_to(bench.folder / "in.npy")
    (bench.folder / "in.npy").chmod(0o640)
    bench.run("run", "job.yaml")
    np.testing.assert_array_equal(bench.read("out.npy"), voxels + 1)


def test_an_input_that_is_rewritten_while_it_is_read_ends_the_job_as_failed(bench, code, wait_until):
    voxels = bench.volume()
    process = bench.start("run", job(bench), "-w", "2")
    wait_until(lambda: len(bench.begun()) == 4, "both gated blocks")
    np.save(bench.folder / "in.npy", voxels + 50)
    bench.open_gate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == FAILED, err
    assert f"the input {bench.folder / 'in.npy'} changed while this job ran" in err
    assert not (bench.folder / "out.npy").exists()


def test_a_data_file_beside_the_code_is_part_of_the_job(bench, code, wait_until):
    voxels = bench.volume()
    (code / "amounts.py").write_text(AMOUNT.format(FROM_DATA))
    np.save(code / "w.npy", np.int64(1))
    job(bench)
    cut_off(bench, wait_until)
    np.save(code / "w.npy", np.int64(2))
    _, err = bench.run("run", "job.yaml", code=REFUSED)
    assert "w.npy has changed since" in err
    assert "--keep-finished" in err
    bench.run("run", "job.yaml", "--overwrite")
    np.testing.assert_array_equal(bench.read("out.npy"), voxels + 2)


def far_module(bench, code):
    (code / "amounts.py").unlink()
    (bench.folder / "far").mkdir()
    bench.environ["PYTHONPATH"] = str(bench.folder / "far")
    bench.command = [*bench.command]  # with an interpreter of its own, which looks at PYTHONPATH
    return bench.folder / "far" / "amounts.py"


def linked_folder(bench, code):
    (code / "amounts.py").unlink()
    (bench.folder / "far").mkdir()
    (code / "deep").symlink_to(bench.folder / "far")
    text = (code / "adding.py").read_text()
    (code / "adding.py").write_text(text.replace("from amounts", "from deep.amounts"))
    return bench.folder / "far" / "amounts.py"


@pytest.mark.parametrize("place", [lambda bench, code: code / "amounts.py", far_module, linked_folder])
def test_modules_count_wherever_they_lie(bench, code, wait_until, place):
    bench.volume()
    path = place(bench, code)
    path.write_text(AMOUNT.format(1))
    job(bench)
    cut_off(bench, wait_until)
    path.write_text(AMOUNT.format(2))
    _, err = bench.run("run", "job.yaml", code=REFUSED)
    assert "amounts.py has changed since" in err


def test_files_that_the_function_has_nothing_to_do_with_do_not_count(bench, code, wait_until):
    voxels = bench.volume()
    job(bench)
    cut_off(bench, wait_until)
    (code / "unrelated.py").write_text("x = 1\n")
    (code / "notes_of_the_function.csv").write_text("1,2\n")
    (code / ".hidden").write_text("x")
    bench.run("run", "job.yaml")
    np.testing.assert_array_equal(bench.read("out.npy"), voxels + 1)


@pytest.mark.parametrize("output", ["out.npy", "out.json"])
def test_finished_blocks_of_older_code_can_be_kept(bench, code, wait_until, output):
    voxels = bench.volume()
    job(bench, output=output)
    cut_off(bench, wait_until, output)
    (code / "amounts.py").write_text(AMOUNT.format(2))
    bench.run("run", "job.yaml", code=REFUSED)
    out, _ = bench.run("run", "job.yaml", "--keep-finished")
    assert "2 found finished" in out
    expected = np.concatenate([voxels[:20] + 1, voxels[20:] + 2])
    np.testing.assert_array_equal(bench.read(output), expected)
    out, _ = bench.run("run", "job.yaml")  # the kept ones are the job's own from now on
    assert "4 found finished" in out
    np.testing.assert_array_equal(bench.read(output), expected)


def test_other_changes_than_those_of_code_are_not_kept(bench, code, wait_until):
    voxels = bench.volume()
    job(bench)
    cut_off(bench, wait_until)
    np.save(bench.folder / "in.npy", voxels + 1)
    _, err = bench.run("run", "job.yaml", "--keep-finished", code=REFUSED)
    assert "belongs to another job" in err
    assert "--keep-finished" not in err


@pytest.mark.parametrize("output", ["out.npy", "out.h5/v", "out.json"])
def test_an_output_without_a_finished_block_belongs_to_nobody(bench, code, output):
    voxels = bench.volume()
    bench.open_gate()
    (code / "amounts.py").write_text(AMOUNT.format("1 / 0"))
    bench.run("run", job(bench, output=output, retries=0), code=FAILED)
    (code / "amounts.py").write_text(AMOUNT.format(3))
    bench.run("run", "job.yaml")
    np.testing.assert_array_equal(bench.read(output), voxels + 3)


def test_a_retry_can_keep_what_is_finished(bench, code):
    voxels = bench.volume()
    bench.open_gate()
    text = (code / "adding.py").read_text()
    bug = "    assert context.roi.start[0] < 20, 'a bug'\n    return block"
    (code / "adding.py").write_text(text.replace("    return block", bug))
    bench.serve()
    bench.run("submit", "--wait", job(bench, output="out.json", retries=0, on_error="finish"), code=FAILED)
    (code / "adding.py").write_text(text)
    bench.run("retry", "--wait", "1", code=FAILED)
    bench.run("retry", "--wait", "1", "--keep-finished")
    with bench.client() as client:
        assert client.job(1).skipped == 2
    np.testing.assert_array_equal(bench.read("out.json"), voxels + 1)
    bench.end_service()


def test_a_job_object_means_the_files_of_its_client(bench, monkeypatch, tmp_path):
    bench.volume()
    bench.serve()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    np.save(elsewhere / "in.npy", np.full((4, 4, 4), 7, "u1"))
    monkeypatch.chdir(elsewhere)
    with bench.client() as client:
        number = client.submit(Job.of({"input": "in.npy", "output": "out.npy", "operation": "copy"})).id
        assert client.wait(number, timeout_s=60).state == "done"
    assert np.load(elsewhere / "out.npy").shape == (4, 4, 4)
    assert not (bench.folder / "out.npy").exists()
    bench.end_service()


def test_a_service_takes_no_relative_path(bench):
    from blockmill.shared.errors import Refused
    from blockmill.shared.messages.service import SubmitJob

    bench.volume()
    bench.serve()
    plain = Job.of({"input": "in.npy", "output": "out.npy", "operation": "copy"}).model_dump(mode="json")
    with Client(bench.socket) as client, pytest.raises(Refused, match="relative path"):
        client.ask(SubmitJob(job=plain, token="t"))
    bench.end_service()
