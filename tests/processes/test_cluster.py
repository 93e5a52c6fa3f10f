import json
import os
import shlex
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from scipy import ndimage

from blockmill.client.cluster.node import part_shape
from blockmill.client.cluster.output import ClusterJob, hash_of
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.jobs.job_file import load_job
from blockmill.shared.lazyflow.clusterconfig import ClusterConfig
from blockmill.shared.lazyflow.roistrings import format_subregion
from blockmill.shared.locking.filelock import FileLock
from blockmill.shared.operations.registry import parse_operation
from blockmill.shared.volumes.base.memory import MemoryVolume
from blockmill.shared.volumes.blockwise.description import FilesetDescription, read_description
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset

VOXELS = np.random.default_rng(5).integers(0, 200, (20, 30)).astype(np.uint8)
WHOLE = Roi.from_shape(VOXELS.shape)
IN_PARTS = {"sub_block_shape": [10, 8], "_schema_version": 1.1}
BLOCKS = [Roi((0, 0), (20, 16)), Roi((0, 16), (20, 30))]
DYING = """
import os, sys
from blockmill.shared.locking.filelock import FileLock
locks = [FileLock(name) for name in sys.argv[1:]]
[lock.acquire() for lock in locks]
os.kill(os.getpid(), 9)
"""
COMMANDS = None  # those of the test that runs
BLOCKMILL = f"{shlex.quote(sys.executable)} -m blockmill"


@pytest.fixture
def folder(tmp_path, monkeypatch, commands):
    monkeypatch.setitem(globals(), "COMMANDS", commands)
    monkeypatch.chdir(tmp_path)
    np.save("in.npy", VOXELS)
    write_job()
    write_config()
    return tmp_path


def write_job(**changes):
    job = {
        "input": "in.npy",
        "output": {"address": "out.json", "block_shape": [20, 16]},
        "operation": {"gaussian": {"sigma": 1.5}},
        "retries": 0,
    }
    Path("job.yaml").write_text(yaml.safe_dump(job | changes))


def write_config(**changes):
    config = {
        "_schema_name": "cluster-execution-configuration",
        "_schema_version": 1.0,
        "command_format": f"{BLOCKMILL} {{task_args}}",
        "output_log_directory": "logs",
        "task_threadpool_size": 1,
    }
    Path("config.json").write_text(json.dumps(config | changes))


def blockmill(*words):
    ended = COMMANDS.run(*words, folder=os.getcwd(), environ=os.environ, timeout_s=100)
    return subprocess.CompletedProcess(words, ended.code, ended.out, ended.err)


def run(*options):
    return blockmill("cluster", "run", "config.json", "job.yaml", *options)


def do_block(block):
    return blockmill("cluster", "block", "config.json", "job.yaml", "--roi", format_subregion(block))


def make_output(**description):
    """Have a run make the output and do none of its blocks; then change what describes it."""
    write_config(command_format="true {task_args}")
    run()
    write_config()
    made = json.loads(Path("out.json").read_text())
    Path("out.json").write_text(json.dumps(made | description))


def output():
    with BlockwiseFileset("out.json") as fileset:
        return fileset.read(WHOLE)


def script(path, text):
    Path(path).write_text(textwrap.dedent(text).lstrip())
    Path(path).chmod(0o755)
    return f"./{path}" if "/" not in str(path) else str(path)


def test_a_run_does_every_block_with_its_halo_and_a_log_for_each_and_a_second_one_nothing(folder):
    done = run("-n", "2")
    assert (done.returncode, done.stdout) == (0, "done: 2 of 2 blocks -> out.json\n"), done.stderr
    np.testing.assert_array_equal(output(), ndimage.gaussian_filter(VOXELS, 1.5))
    assert sorted(os.listdir("logs")) == ["J00.log", "J01.log"]
    assert "100 %" in Path("logs/J01.log").read_text()
    description = read_description("out.json")
    assert description.hash_id == hash_of(description)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.h5")}
    again = run()
    assert "2 of 2 blocks (2 found finished)" in again.stdout
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*.h5")}
    assert not list(folder.rglob("*.lock"))


def test_only_what_is_missing_is_done_again(folder):
    run()
    with BlockwiseFileset("out.json", "a") as fileset:
        fileset.set_block_status((0, 16), available=False)
    Path("logs/J00.log").unlink()
    assert "(1 found finished)" in run().stdout
    assert os.listdir("logs") == ["J01.log"]


def test_blocks_of_another_job_are_done_again(folder):
    run()
    write_job(operation={"gaussian": {"sigma": 3}})
    assert "done: 2 of 2 blocks ->" in run().stdout
    np.testing.assert_array_equal(output(), ndimage.gaussian_filter(VOXELS, 3))


def test_another_hash_makes_every_block_invalid(folder):
    run()
    text = Path("out.json").read_text()
    Path("out.json").write_text(text.replace(read_description("out.json").hash_id, "of another time"))
    assert "done: 2 of 2 blocks ->" in run().stdout
    assert read_description("out.json").hash_id == hash_of(read_description("out.json"))


def test_a_description_is_made_to_fit_the_input(folder):
    description = FilesetDescription(
        axes="xy",
        shape=(30, 20),
        dtype="float32",
        block_shape=(16, 100),
        chunks=(8, 64),
        block_file_name_format="b-{roiString}.h5/volume/data",
        dataset_root_dir="blocks",
    )
    BlockwiseFileset.create("out.json", description).close()
    assert run().returncode == 0
    made = read_description("out.json")
    assert (made.axes, made.shape, made.block_shape, made.chunks) == ("yx", (20, 30), (20, 16), (20, 8))
    assert (made.dtype, made.view_shape) == (np.uint8, (20, 30))
    np.testing.assert_array_equal(output(), ndimage.gaussian_filter(VOXELS, 1.5))


def test_other_axes_are_refused(folder):
    description = FilesetDescription(
        axes="ty", shape=(20, 30), dtype="u1", block_shape=(20, 16), block_file_name_format="{roiString}.h5/a"
    )
    BlockwiseFileset.create("out.json", description).close()
    done = run()
    assert done.returncode == 5
    assert "axes: is 'ty', but the input has 'yx'" in done.stderr


def test_a_part_of_the_input_is_taken_where_the_job_says_so(folder):
    write_job(
        roi=[[2, 3], [18, 27]], operation="copy", output={"address": "out.json", "block_shape": [16, 16]}
    )
    assert run().returncode == 0
    with BlockwiseFileset("out.json") as fileset:
        np.testing.assert_array_equal(fileset.read(Roi((0, 0), (16, 24))), VOXELS[2:18, 3:27])


def test_a_task_that_dies_is_tried_again_and_the_run_says_so(folder):
    script(
        "once",
        f"""
        #!/bin/sh
        if mkdir died 2>/dev/null; then kill -9 $$; fi
        exec {BLOCKMILL} "$@"
        """,
    )
    write_config(command_format="exec ./once {task_args}", server_working_directory=str(folder))
    done = run("--retries", "1", "-n", "1")
    assert done.returncode == 0, done.stderr
    assert "task J00, block [0, 0]-[20, 16], attempt 1: was killed by signal 9; trying again" in done.stderr
    assert Path("logs/J00.log").read_text().count("--- attempt") == 2
    np.testing.assert_array_equal(output(), ndimage.gaussian_filter(VOXELS, 1.5))


def test_a_task_that_goes_on_failing_is_named_and_the_others_are_done(folder):
    script(
        "some",
        f"""
        #!/bin/sh
        case "$*" in *"[0, 16]"*) echo no luck; exit 9;; esac
        exec {BLOCKMILL} "$@"
        """,
    )
    write_config(command_format="./some {task_args}")
    done = run("--retries", "1")
    assert done.returncode == 1
    assert "failed: task J01, block [0, 16]-[20, 30]: ended with exit code 9" in done.stderr
    assert done.stdout == "not done: 1 of 2 blocks -> out.json\n"
    assert Path("logs/J01.log").read_text().count("no luck") == 2


def test_a_command_that_does_nothing_is_not_taken_for_done(folder):
    write_config(command_format="true {task_args}")
    done = run()
    assert done.returncode == 1
    assert "needs --detached" in done.stderr


def test_commands_that_only_queue_their_tasks_are_waited_for_by_the_blocks(folder):
    write_config(command_format=f"{BLOCKMILL} {{task_args}} >{{task_name}}.out 2>&1 &", task_timeout_secs=60)
    done = run("--detached")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(output(), ndimage.gaussian_filter(VOXELS, 1.5))


def test_a_task_that_takes_too_long_is_ended_with_all_its_processes(folder):
    write_config(
        command_format="sleep 300 & echo $! >{task_name}.pid; wait; true {task_args}", task_timeout_secs=1
    )
    done = run("-n", "2")
    assert done.returncode == 1
    assert done.stderr.count("failed: ") == 2
    assert "took longer than task_timeout_secs, 1 s" in done.stderr
    for name in ("J00.pid", "J01.pid"):
        assert not alive(int(Path(name).read_text()))


def alive(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_node_ends_itself_after_its_time(folder):
    Path("slow.py").write_text("import time\ndef f(block): time.sleep(100)\n")
    write_job(operation={"python": {"function": "slow:f"}}, user_code=str(folder))
    make_output()
    write_config(task_timeout_secs=1)
    done = do_block(BLOCKS[0])
    assert done.returncode == 1
    assert "took longer than task_timeout_secs" in done.stderr
    assert not BlockwiseFileset("out.json").block_status((0, 0))


def test_an_interrupted_master_ends_its_tasks(folder):
    os.mkfifo("begun")
    write_config(command_format="echo $$ >begun; exec sleep 300; true {task_args}")
    master = subprocess.Popen(
        [sys.executable, "-m", "blockmill", "cluster", "run", "config.json", "job.yaml", "-n", "1"]
    )
    task = int(Path("begun").read_text())
    master.send_signal(signal.SIGTERM)
    assert master.wait(60) == 130
    assert not alive(task)


def test_tasks_are_run_on_a_server_by_ssh_in_its_working_directory(folder, monkeypatch):
    Path("bin").mkdir()
    Path("there is").mkdir()
    script(
        "bin/ssh",
        """
        #!/bin/sh
        printf '%s\\n' "$1|$2|$3" >>"$SEEN"
        cd / && exec sh -c "$4"
        """,
    )
    monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("SEEN", f"{folder}/seen")
    write_config(
        task_launch_server="node7",
        server_working_directory=f"{folder}/there is",
        command_format=f"pwd; {BLOCKMILL} {{task_args}}",
    )
    done = run()
    assert done.returncode == 0, done.stderr + Path("logs/J00.log").read_text()
    assert Path("seen").read_text() == "-o|BatchMode=yes|node7\n" * 2
    assert f"\n{folder}/there is\n" in Path("logs/J00.log").read_text()
    np.testing.assert_array_equal(output(), ndimage.gaussian_filter(VOXELS, 1.5))


@pytest.mark.parametrize("which", ["the file's", "the task's"])
def test_a_block_whose_lock_a_living_process_holds_is_left_out_and_told(folder, which):
    make_output()
    with BlockwiseFileset("out.json", "a") as fileset:
        directory = Path(fileset.dataset_directory((0, 16)))
        directory.mkdir(parents=True, exist_ok=True)
        protected = fileset.block_file((0, 16)) if which == "the file's" else directory / "TASK"
    with FileLock(protected):
        done = run()
        assert done.returncode == 1
        assert "left out: block [0, 16]-[20, 30] is being written by" in done.stderr
        assert str(os.getpid()) in done.stderr
        assert os.listdir("logs").count("J00.log") == 1
        if which == "the task's":
            assert do_block(BLOCKS[1]).returncode == 1
    assert run().returncode == 0


def test_a_block_whose_lock_a_dead_process_has_left_is_done(folder):
    make_output()
    with BlockwiseFileset("out.json", "a") as fileset:
        directory = Path(fileset.dataset_directory((0, 16)))
        directory.mkdir(parents=True, exist_ok=True)
        names = [fileset.block_file((0, 16)), str(directory / "TASK")]
    subprocess.run([sys.executable, "-c", DYING, *names], check=False, timeout=60)
    assert all(Path(f"{name}.lock").exists() for name in names)
    done = run()
    assert done.returncode == 0, done.stderr
    assert not list(folder.rglob("*.lock"))


def test_a_node_works_in_parts_and_tells_its_progress_to_the_command(folder):
    make_output(**IN_PARTS)
    write_config(task_progress_update_command="echo {progress} >>told")
    done = do_block(BLOCKS[0])
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == ["0 %", "25 %", "50 %", "75 %", "100 %", "100 %", "done"]
    told = [int(line) for line in Path("told").read_text().split()]
    assert told == sorted(set(told))
    assert told[-1] == 100
    with BlockwiseFileset("out.json") as fileset:
        assert fileset.verify_block((0, 0)) is None
        np.testing.assert_array_equal(
            fileset.read(BLOCKS[0]), ndimage.gaussian_filter(VOXELS, 1.5)[BLOCKS[0].to_slice()]
        )
    assert do_block(BLOCKS[0]).stdout == "the block was done before\n"


def test_a_block_of_which_a_later_part_fails_is_not_available_and_the_next_attempt_does_all_of_it(folder):
    steps = "from pathlib import Path\ndef f(block, context):\n    if context.roi.start == (10, 8)"
    Path("steps.py").write_text(f"{steps} and Path('bad').exists():\n        1 / 0\n    return block\n")
    write_job(operation={"python": {"function": "steps:f"}}, user_code=str(folder))
    make_output(**IN_PARTS)
    Path("bad").touch()
    done = do_block(BLOCKS[0])
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    with BlockwiseFileset("out.json") as fileset:
        assert Path(fileset.block_file((0, 0))).exists()
        assert not fileset.block_status((0, 0))
        Path("bad").unlink()
        assert do_block(BLOCKS[0]).returncode == 0
        np.testing.assert_array_equal(fileset.read(BLOCKS[0]), VOXELS[BLOCKS[0].to_slice()])


def test_a_progress_command_that_fails_harms_nothing(folder):
    write_config(task_progress_update_command="exit {progress}3")
    assert run().returncode == 0
    assert "task_progress_update_command: 'exit 1003' failed" in Path("logs/J00.log").read_text()


@pytest.mark.parametrize("roi", [Roi((0, 0), (20, 8)), Roi((0, 0), (20, 30)), Roi((0, 8), (20, 16))])
def test_a_node_takes_exactly_one_whole_block(folder, roi):
    make_output()
    assert do_block(roi).returncode == 5


def test_mistakes_are_told_before_anything_is_made(folder):
    write_config(command_format="blockmill")
    done = run()
    assert done.returncode == 5
    assert "config.json: command_format" in done.stderr
    write_config(num_jobs=3)
    write_job(output="out.json")
    done = run()
    assert "num_jobs: was retired" in done.stderr
    assert "give output.block_shape" in done.stderr
    assert not Path("out.json").exists()


def test_parts_are_as_large_as_the_memory_of_a_node_allows():
    config = ClusterConfig(
        path="c", command_format="", output_log_directory="", task_threadpool_size=1, task_total_ram_mb=4
    )
    source = MemoryVolume(np.zeros((512, 512, 64), np.uint8), axes="zyx")
    operation, whole = parse_operation("copy"), Roi.from_shape(source.shape)
    part = part_shape(config, operation, source, whole)
    assert part is not None
    assert part != whole.shape
    assert 2**19 <= np.prod(part) <= 2**21


def test_a_user_exports_a_roi_or_a_subset_in_either_coordinates(folder):
    write_job(operation="copy")
    run()
    text = json.loads(Path("out.json").read_text()) | {"view_origin": [0, 16], "view_shape": [20, 14]}
    Path("out.json").write_text(json.dumps(text))
    Path("there").mkdir()
    done = blockmill("volume", "export", "out.json", "[(5, 2), (9, 12)]", "there")
    with h5py.File(done.stdout.strip()) as file:
        np.testing.assert_array_equal(file["volume/data"][()], VOXELS[5:9, 18:28])
    same = blockmill(
        "volume", "export", "out.json", "[(5, 18), (9, 28)]", "there", "--coordinates", "absolute"
    )
    assert same.stdout == done.stdout
    subset = blockmill(
        "volume", "export", "out.json", "[(0, 0), (20, 14)]", "there", "--format", "blockwise-subset"
    )
    assert subset.returncode == 0, subset.stderr
    with BlockwiseFileset(subset.stdout.strip()) as fileset:
        np.testing.assert_array_equal(fileset.read(Roi((0, 0), (20, 14))), VOXELS[:, 16:])
    assert blockmill("volume", "export", "out.json", "[(0, 0), (20, 15)]", "there").returncode == 5


def test_the_job_of_a_cluster_is_known_by_what_decides_its_voxels(folder):
    first = ClusterJob.of(load_job("job.yaml")).name
    write_job(retries=5)
    assert ClusterJob.of(load_job("job.yaml")).name == first
    write_job(operation="copy")
    assert ClusterJob.of(load_job("job.yaml")).name != first


# -- what is read ---------------------------------------------------------------------


def write_first(output):
    """The job whose output is the input of the others, done; the path of its first file."""
    job = {"input": "in.npy", "output": output, "operation": "copy", "block_shape": [10, 8]}
    Path("first.yaml").write_text(yaml.safe_dump(job))
    assert blockmill("run", "first.yaml").returncode == 0
    address = output["address"]
    return min(Path().glob("a_blocks/**/*.h5" if address.endswith("json") else address.split("/")[0]))


OURS = {
    "raw": {"address": "a.json", "block_shape": [10, 8]},
    "gzip": {"address": "a.json", "block_shape": [10, 8], "compression": "gzip"},
    "npy": {"address": "a.npy"},
    "h5": {"address": "a.h5/v"},
}


@pytest.mark.parametrize("kind", OURS)
def test_nodes_compare_an_input_of_ours_with_its_checksums(folder, kind):
    path = write_first(OURS[kind])
    write_job(input=OURS[kind]["address"], operation="copy")
    whole = path.read_bytes()
    hurt = bytearray(whole)
    hurt[-100] ^= 4
    path.write_bytes(hurt)
    done = run("-n", "1")
    assert done.returncode == 1
    logs = "".join(log.read_text() for log in Path("logs").iterdir())
    assert "is not what the job that wrote it has recorded" in logs
    assert "checksum differs" in logs
    with BlockwiseFileset("out.json") as fileset:
        for roi in BLOCKS:
            if fileset.block_status(roi.start):
                np.testing.assert_array_equal(fileset.read(roi), VOXELS[roi.to_slice()])
    write_job(input=OURS[kind]["address"], operation="copy", check_input=False)
    assert run("-n", "1").returncode == 0
    path.write_bytes(whole)


def test_a_sound_input_of_ours_is_read_and_parts_that_check_nothing_are_counted(folder):
    write_first(OURS["raw"])
    write_job(input="a.json", operation="copy")
    assert run("-n", "1").returncode == 0
    np.testing.assert_array_equal(output(), VOXELS)
    assert "not checked" not in "".join(log.read_text() for log in Path("logs").iterdir())
    make_output(sub_block_shape=[5, 8], _schema_version=1.1)
    with BlockwiseFileset("out.json", "a") as fileset:
        fileset.set_block_status((0, 0), available=False)
    done = do_block(BLOCKS[0])
    assert done.returncode == 0, done.stderr
    assert "4 of 4 blocks of the input were not checked" in done.stdout


def test_an_input_of_ours_that_was_replaced_is_refused_by_the_master(folder):
    write_first(OURS["npy"])
    np.save("a.npy", VOXELS[:10])
    write_job(input="a.npy", operation="copy")
    done = run()
    assert done.returncode == 5
    assert "it was replaced" in done.stderr
    assert not Path("out.json").exists()


def test_an_input_that_changes_while_the_tasks_run_ends_the_run_as_failed_and_takes_its_blocks_back(folder):
    script(
        "changes",
        f"""
        #!/bin/sh
        {BLOCKMILL} "$@" || exit
        case "$*" in *"[0, 16]"*) cp other.npy in.npy;; esac
        """,
    )
    np.save("other.npy", VOXELS + 1)
    write_job(operation="copy")
    write_config(command_format="./changes {task_args}")
    done = run("-n", "1")
    assert done.returncode == 1
    assert f"failed: the input {folder}/in.npy changed while this job ran" in done.stderr
    assert done.stdout == "not done: 0 of 2 blocks -> out.json\n"
    write_config()
    assert run("-n", "1").stdout == "done: 2 of 2 blocks -> out.json\n"
    np.testing.assert_array_equal(output(), VOXELS + 1)


def test_code_that_changes_while_the_tasks_run_ends_the_run_as_failed(folder):
    Path("code").mkdir()
    Path("code/steps.py").write_text("def f(block):\n    return block\n")
    script(
        "changes",
        f"""
        #!/bin/sh
        {BLOCKMILL} "$@" && echo "# new" >>code/steps.py
        """,
    )
    write_job(operation={"python": {"function": "steps:f"}}, user_code=str(folder / "code"))
    write_config(command_format="./changes {task_args}")
    done = run("-n", "1")
    assert done.returncode == 1
    assert "failed: steps.py of the user's code changed while this job ran" in done.stderr


def test_an_output_that_would_replace_its_input_is_refused(folder):
    write_first(OURS["raw"])
    write_job(input="a.json", operation="copy", output={"address": "./a.json", "block_shape": [20, 16]})
    before = {path: path.read_bytes() for path in folder.glob("a_blocks/**/*") if path.is_file()}
    done = run()
    assert done.returncode == 5
    assert "is the input itself" in done.stderr
    assert before == {path: path.read_bytes() for path in folder.glob("a_blocks/**/*") if path.is_file()}
