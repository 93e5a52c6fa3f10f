"""Carries out commands of blockmill, one after the other, each in a process forked from this one.

A child is what ``python -m blockmill`` is, with its own streams, folder and environment; only the imports
have been done before, and of the end of the interpreter only what can be seen is done. So a command costs
some ten milliseconds.

Each line on stdin is a request as JSON, each line on stdout the exit code of its command.
"""

import atexit
import gc
import json
import os
import runpy
import sys
import threading
import traceback


def blockmill() -> int:
    """Run the command of `sys.argv`; its exit code."""
    try:
        runpy.run_module("blockmill", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:  # noqa: BLE001 - as the interpreter does, which ends then
        traceback.print_exc()
        return 1
    return 0


def end(code: int) -> None:
    """End as the interpreter does, but for taking all modules apart, which touches every page."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def import_all() -> None:
    import blockmill as package

    for name in package.__all__:
        getattr(package, name)
    sys.argv = ["blockmill", "config", "schema", "--job"]
    kept = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    assert blockmill() == 0
    sys.stdout.flush()
    os.dup2(kept, 1)
    os.close(kept)
    gc.collect()
    gc.freeze()


def become(request: dict) -> None:
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        file = os.open(request[name], os.O_RDWR)
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - the old one has read ahead
    os.environ.clear()
    os.environ.update(request["environ"])
    os.chdir(request["folder"])
    sys.argv = ["blockmill", *request["args"]]


def serve() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become(json.loads(line))
            end(blockmill())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.write(1, f"{code}\n".encode())


import_all()
serve()
