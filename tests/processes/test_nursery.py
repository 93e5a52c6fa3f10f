"""Workers of the command, whose nursery is forked from it, and of a program, where it is an interpreter."""

import json
import os
import sys

import pytest

COMMAND = """
import os
os.open("kept open", os.O_RDONLY)
from blockmill.client.command import main
main()
"""
PROGRAM = """
import blockmill, sys
operation = {"python": {"function": "steps:tells_what_it_has", "args": {"where": "told.json"}}}
from blockmill.daemon.engine import Engine
from blockmill.daemon.jobrun import JobRun
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
