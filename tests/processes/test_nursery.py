"""Workers of the command, whose nursery is forked from it, and of a program, where it is an interpreter."""

import contextlib
import json
import os
import signal
import sys

import psutil
import pytest

MAIN = """
from blockmill.client.cli.main import main
main()
"""
COMMAND = f"""
import os, resource
os.dup2(os.open("kept open", os.O_RDONLY), 500)
resource.setrlimit(resource.RLIMIT_NOFILE, (400, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
{MAIN}
"""
IGNORES_SIGCHLD = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)"
NO_PIDFDS = "import os, signal; del os.pidfd_open, signal.pidfd_send_signal"
NO_FORK = """
import os
def fork():
    raise BlockingIOError
os.fork = fork
"""
NO_NURSERY = """
import blockmill.daemon.executors.local.nursery
blockmill.daemon.executors.local.nursery._MODULE = "no_such_module"
"""
NO_RUN_DIR = """
import psutil
import blockmill.daemon.executors.local.executor
blockmill.daemon.executors.local.executor.run_dir = None
"""
PROGRAM = """
import blockmill, sys
operation = {"python": {"function": "steps:tells_what_it_has", "args": {"where": "told.json"}}}
from blockmill.daemon.engine.engine import Engine
from blockmill.daemon.runs.run import JobRun
job = blockmill.Job.of({"input": "in.npy", "output": "out.npy", "operation": operation, "user_code": "."})
with open("kept open"), Engine(1) as engine:
    JobRun(job, 1).execute(engine)
"""


@pytest.fixture(params=["command", "program"])
def told(bench, request):
    """What a worker says that it has."""
    bench.volume()
    (bench.folder / "kept open").touch()
    if request.param == "program":
        bench.command = [sys.executable, "-c", PROGRAM]
        bench.run()
    else:
        bench.command = [sys.executable, "-c", COMMAND]
        args = {"where": str(bench.folder / "told.json")}
        operation = {"python": {"function": "steps:tells_what_it_has", "args": args}}
        bench.run("run", bench.job(input="in.npy", output="out.npy", operation=operation, user_code="."))
    return json.loads((bench.folder / "told.json").read_text())


def test_a_worker_holds_no_file_of_its_coordinator(bench, told):
    files = told["files"]
    assert files["0"] == os.devnull
    assert files["1"] == files["2"] and "worker-" in files["1"]
    theirs = [name for name in files.values() if str(bench.folder) in name and "worker-" not in name]
    assert theirs == [str(bench.folder / "in.npy")]


def test_a_worker_computes_with_one_thread(told):
    assert told["more_threads"] == 0


def test_a_worker_hears_nothing_of_the_terminal(told):
    assert told["sigint"] and told["session"] != os.getsid(0)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_the_command_runs_without_standard_streams(bench, closed):
    voxels = bench.volume()
    bench.command = ["sh", "-c", f'exec "$0" -m blockmill "$@" {closed}', sys.executable]
    job = bench.job(input="in.npy", output="out.npy", operation="copy")
    bench.run("run", "--dry-run", job)
    bench.run("run", job)
    assert (bench.read("out.npy") == voxels).all()


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["", "dry run"])
def test_a_job_on_a_closed_stdin_is_an_empty_one(bench, options):
    bench.command = ["sh", "-c", 'exec "$0" -m blockmill "$@" <&-', sys.executable]
    _, err = bench.run("run", *options, "-", code=5)
    assert "the file is empty" in err


@pytest.mark.parametrize("lack", [NO_PIDFDS, NO_FORK, IGNORES_SIGCHLD], ids=["pidfds", "fork", "SIGCHLD"])
def test_the_command_runs_where_the_system_gives_less(bench, lack):
    voxels = bench.volume()
    bench.command = [sys.executable, "-c", lack + MAIN]
    bench.run("run", bench.job(input="in.npy", output="out.npy", operation="copy"))
    assert (bench.read("out.npy") == voxels).all()


@pytest.mark.parametrize("before", ["", IGNORES_SIGCHLD], ids=["", "SIGCHLD ignored"])
def test_it_is_told_why_the_nursery_ended(bench, before):
    bench.volume()
    bench.command = [sys.executable, "-c", before + NO_NURSERY + MAIN]
    _, err = bench.run("run", bench.job(input="in.npy", output="out.npy", operation="copy"), code=1)
    assert "EngineError" in err and "No module named 'no_such_module'" in err


def test_an_engine_that_fails_at_once_leaves_no_nursery(bench):
    bench.volume()
    after = "\nfinally:\n    print('children:', psutil.Process().children())"
    bench.command = [sys.executable, "-c", NO_RUN_DIR + "try:" + MAIN.replace("\n", "\n    ") + after]
    out, _ = bench.run("run", bench.job(input="in.npy", output="out.npy", operation="copy"), code=1)
    assert "children: []" in out


def test_sigterm_to_all_processes_is_an_interruption(bench, wait_until):
    bench.volume()
    run = bench.start("run", bench.gated_job())
    wait_until(lambda: len(bench.begun()) == 2, "two blocks under way")
    coordinator = psutil.Process(run.pid)
    for process in (coordinator, *coordinator.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # ended by the coordinator's, a moment ago
            process.send_signal(signal.SIGTERM)
    _, err = run.communicate()
    assert run.returncode == 130, err
    assert bench.leavings() == []
