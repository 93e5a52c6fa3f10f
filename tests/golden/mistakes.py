"""Mistakes that people make, each a command in a fresh copy of the template."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import h5py
import numpy as np


@dataclass(frozen=True)
class Mistake:
    """A command that goes wrong, with what is there before it."""

    title: str
    args: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    before: tuple[tuple[str, ...] | Callable, ...] = ()
    stdin: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    words_of_click: bool = False  # they differ from one version of click to the next


FILESET = "output: {address: out.json, block_shape: [10, 30, 20]}\n"
GOOD = f"input: in.npy\n{FILESET}operation: copy\n"
ONCE = "\nuser_code: .\nretries: 0"
ONE = GOOD.replace("[10, 30, 20]", "[40, 30, 20]") + "retries: 0\n"
NPY = "input: in.npy\noutput: out.npy\noperation: copy\n"
RUN = ("run", "-q", "-w", "1", "job.yaml")


def job(title, text, *args, **more):
    return Mistake(title, args or RUN, {"job.yaml": text}, **more)


def of(title, operation, **more):
    return job(title, f"input: in.npy\n{FILESET}operation: {operation}\n", **more)


JOB_FILES = [
    Mistake("no such file", RUN),
    Mistake("a folder for a file", ("run", "."), {}),
    job("empty", ""),
    job("no mapping", "- a\n"),
    job("no YAML", "input: [a\noutput: b"),
    job("a tab", "input: in.npy\n\toutput: b.json\n"),
    job("a key twice", GOOD + "operation: copy\n"),
    job("nothing in it", "{}"),
    job("a key misspelt", GOOD + "blok_shape: [4]\n"),
    job("a key unknown", GOOD + "zzz: 1\n"),
    job("keys inside the output misspelt", "input: a\noutput: {adress: b, chunk: [4]}\noperation: copy\n"),
    job("wrong kinds", GOOD + "workers: 0\nretries: true\nmemory_per_worker: 2 GBit\norder: 1\nname: [x]\n"),
    job("wrong words", GOOD + "on_error: stop\nblock_timeout_s: 0\n"),
    job("an output that is the input", "input: in.npy\noutput: ./in.npy\noperation: copy\n"),
    job("an unknown compression", "input: a\noutput: {address: b, compression: gzp}\noperation: copy\n"),
    job("a level without gzip", "input: a\noutput: {address: b, compression_opts: 3}\noperation: copy\n"),
    job("a roi inside out", GOOD + "roi: [[0, 9], [4, 4]]\n"),
    job("a roi of two lengths", GOOD + "roi: [[0, 0, 0], [4, 4]]\n"),
    job("an empty roi", GOOD + "roi: [[0, 4, 0], [4, 4, 4]]\n"),
    job("a halo that follows from the operation", GOOD + "halo: 3\n"),
    of("an unknown operation", "{gausian: {sigma: 2}}"),
    of("an operation without its parameter", "gaussian"),
    of("a negative sigma", "{gaussian: {sigma: -1}}"),
    of("a decimal comma", "{gaussian: {sigma: 1,5}}"),
    of("sigma of other length than the block shape", "{gaussian: {sigma: [1, 1]}}"),
    of("a threshold without a bound", "threshold"),
    of("a dtype that is none", "{copy: {dtype: uint9}}"),
    of("no name of a function", "{python: {function: os.system}}"),
    Mistake("mistakes on standard input", ("run", "-"), stdin="input: a\n"),
]

ON_THE_INPUT = [
    job("no such input", GOOD.replace("in.npy", "missing.npy")),
    job("an input of no known kind", GOOD.replace("in.npy", "in.tif")),
    job("a scheme", GOOD.replace("in.npy", "s3://bucket/in.zarr")),
    job("an HDF5 file alone", GOOD.replace("in.npy", "in.h5")),
    job("no such dataset", GOOD.replace("in.npy", "in.h5/volume/dat")),
    job("a group for a dataset", GOOD.replace("in.npy", "in.h5/volume")),
    job("a block of the input that is missing", GOOD.replace("in.npy", "cells.json").replace(
        "[10, 30, 20]", "[32, 32, 32]") + "retries: 0\n", before=(lambda folder: remove_a_block(folder),)),
    job("a roi that leaves the volume", GOOD + "roi: [[0, 0, 0], [41, 30, 20]]\n"),
    job("a roi of other length than the volume", GOOD.replace("[10, 30, 20]", "[10, 30]")
        + "roi: [[0, 0], [4, 4]]\n"),
    job("a sigma of other length than the volume", NPY.replace("copy", "{gaussian: {sigma: [1, 1]}}")),
    job("a block shape of other length than the volume", GOOD.replace("[10, 30, 20]", "[10, 30]")),
    job("chunks larger than a block", GOOD.replace("[10, 30, 20]", "[10, 30, 20], chunks: [64, 64, 64]")),
    job("a task that cuts blocks of the output", GOOD + "block_shape: [15, 30, 20]\n"),
    job("too little memory for a block", GOOD + "memory_per_worker: 1000\n"),
    of("no such module", "{python: {function: 'nowhere:f'}}"),
    of("no such function", "{python: {function: 'steps:nowhere'}}\nuser_code: ."),
    of("a function that raises", "{python: {function: 'steps:raises', args: {at: 0}}}" + ONCE),
    of("a function with an unknown argument", "{python: {function: 'steps:flat', args: {at: 0}}}" + ONCE),
    of("a function that changes the shape", "{python: {function: 'steps:flat'}}" + ONCE),
    job("no such folder of user code", GOOD.replace("copy", "{python: {function: 'steps:flat'}}")
        + "user_code: nowhere\n"),
    of("a dtype that can't hold the voxels", "{copy: {dtype: bool}}\nretries: 0"),
    job("a dry run of no such input", GOOD.replace("in.npy", "missing.npy"), "run", "--dry-run", "job.yaml"),
]  # fmt: skip


def remove_a_block(folder):
    shutil.rmtree(next(path for path in sorted((folder / "cells_blocks").iterdir()) if path.is_dir()))


def other_job(text, changed, title, **more):
    """The output of one job is given to another."""
    return Mistake(
        title,
        ("run", "-q", "-w", "1", "other.yaml"),
        {"job.yaml": text, "other.yaml": changed},
        before=(RUN,),
        **more,
    )


def touch(folder):
    os.utime(folder / "in.npy", (1, 1))


def save_array(folder):
    np.save(folder / "out.npy", np.zeros(3))


def keep_in_the_file(folder):
    with h5py.File(folder / "out.h5", "w") as file:
        file["mine"] = [1, 2, 3]


def change_description(folder):
    path = folder / "out.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"compression": "lzf"}))


H5 = NPY.replace("out.npy", "out.h5/v")
OUTPUTS = [
    job("an output of no known kind", NPY.replace("out.npy", "out.tif")),
    job("an HDF5 file alone as output", NPY.replace("out.npy", "out.h5")),
    job("a block shape for npy", NPY.replace("out.npy", "{address: out.npy, block_shape: [4, 4, 4]}")),
    job("compression for npy", NPY.replace("out.npy", "{address: out.npy, compression: gzip}")),
    job("an HDF5 file that is not of a job, to be overwritten", H5, "run", "-q", "--overwrite", "job.yaml",
        before=(keep_in_the_file,)),
    other_job(GOOD, GOOD.replace("copy", "{threshold: {above: 1}}"), "an output of another operation"),
    other_job(GOOD, GOOD + "roi: [[0, 0, 0], [20, 30, 20]]\n", "an output of another roi"),
    other_job(NPY, NPY.replace("copy", "{gaussian: {sigma: 1}}"), "a merged output of another operation"),
    other_job(H5, H5.replace("in.npy", "in.h5/volume/data"), "an output of another input"),
    job("an output whose description was changed", GOOD, before=(RUN, change_description)),
    job("an output whose description is unreadable", GOOD, "run", "-q", "--overwrite", "job.yaml", before=(
        RUN, lambda folder: (folder / "out.json").write_text("{"))),
]  # fmt: skip

# What these are told names the records that lie beside an output.
RECORDS = [
    job("a file that is not of a job", NPY, before=(save_array,)),
    job("an HDF5 file that is not of a job", H5, before=(keep_in_the_file,)),
    job("an output whose record is no record", NPY, before=(
        RUN, lambda folder: [p.write_text("{") for p in folder.rglob("*") if p.name == "out.npy.job"])),
    Mistake("verify: nothing to check against", ("volume", "verify", "in.npy")),
]  # fmt: skip

VOLUMES = [
    Mistake("no such volume", ("volume", "info", "missing.json")),
    Mistake("a volume of no known kind", ("volume", "info", "a.czi")),
    Mistake("an HDF5 file alone", ("volume", "info", "in.h5")),
    Mistake("no such dataset", ("volume", "info", "in.h5/x")),
    Mistake("a description that is no JSON", ("volume", "info", "bad.json"), {"bad.json": "{"}),
    Mistake("a description of another schema", ("volume", "info", "bad.json"), {"bad.json": '{"a": 1}'}),
    Mistake("a description that lacks keys", ("volume", "info", "bad.json"), {
        "bad.json": '{"_schema_name": "blockwise-fileset-description", "_schema_version": 1.0}'}),
    Mistake("verify: no such volume", ("volume", "verify", "missing.json")),
    Mistake("verify: a block that is missing", ("volume", "verify", "cells.json"), before=(
        lambda folder: remove_a_block(folder),)),
    Mistake("create: it is there", ("volume", "create", "cells.json")),
    Mistake("create: a shape that is none", ("volume", "create", "new.json", "--shape", "1,x")),
    Mistake("create: no fileset", ("volume", "create", "new.h5")),
    Mistake("serve: no such volume", ("volume", "serve", "missing.json")),
    Mistake("export: no roi", ("volume", "export", "cells.json", "all", "to")),
    Mistake("export: a roi that leaves the volume", ("volume", "export", "cells.json",
                                                     "[(0, 0, 0), (64, 64, 64)]", "to")),
    Mistake("export: no fileset", ("volume", "export", "in.npy", "[(0, 0, 0), (1, 1, 1)]", "to")),
]  # fmt: skip


def config(title, text, *args):
    return Mistake(title, args or ("config", "check", "c.yaml"), {"c.yaml": text})


CONFIGURATION = [
    Mistake("no such file", ("config", "check", "missing.yaml")),
    config("a key misspelt", "wrokers: {count: 2}\n"),
    config("a key of a part misspelt", "workers:\n  cuont: 2\n"),
    config("a wrong kind", "workers: {count: many}\n"),
    config("a number out of bounds", "workers: {count: 0}\nhistory_days: -1\n"),
    config("a wrong size", "workers: {memory: 24 GBit}\n"),
    config("a wrong listener", "tcp: {listen: here}\n"),
    config("a wrong kind for a list", "access: {admins: ann}\n"),
    config("show", "zzz: 1\n", "config", "show", "c.yaml"),
    config("serve with a wrong file", "zzz: 1\n", "serve", "--config", "c.yaml"),
    Mistake("serve with a wrong size", ("serve", "--memory", "much")),
    Mistake("a wrong value in a variable", ("config", "check"), environ={"BLOCKMILL__WORKERS__COUNT": "x"}),
    Mistake("an unknown key in a variable", ("config", "check"), environ={"BLOCKMILL__WORKER__COUNT": "1"}),
    Mistake("keys: no such account", ("keys", "allow", "x" * 40, "--account", "nobody-of-that-name")),
    Mistake("keys: no such file", ("keys", "trust", "missing.key", "--host", "h")),
    Mistake("keys: a name that is none", ("keys", "new", "a/b")),
    Mistake("keys: revoke what is not there", ("keys", "revoke", "ann")),
    Mistake("keys: there already", ("keys", "new", "--folder", "k"),
            before=(("keys", "new", "--folder", "k"),)),
]  # fmt: skip

NO_SERVICE = {"BLOCKMILL_SOCKET": "/nowhere/s"}
UNREACHABLE = [
    Mistake("no service at the usual place", ("ls",), environ={"XDG_RUNTIME_DIR": "/nowhere"}),
    Mistake("no service", ("ls",), environ=NO_SERVICE),
    Mistake("no service at a socket that is named", ("status", "1", "--socket", "/nowhere/other")),
    Mistake("submit", ("submit", "--no-check", "job.yaml"), {"job.yaml": GOOD}, environ=NO_SERVICE),
    Mistake("a socket that is a file", ("ls", "--socket", "in.npy")),
    Mistake("TCP without a key", ("ls", "--socket", "tcp://127.0.0.1:1")),
    Mistake("TCP with a key that is not there", ("ls", "--socket", "tcp://127.0.0.1:1"),
            environ={"BLOCKMILL_KEY": "/nowhere/k", "BLOCKMILL_SERVICE_KEY": "/nowhere/s"}),
    Mistake("TCP without a port", ("ls", "--socket", "tcp://127.0.0.1")),
]  # fmt: skip

USAGE = [
    *(
        Mistake(title, tuple(words.split()), words_of_click=True)
        for title, words in {
            "no such verb": "rnu job.yaml",
            "no such verb of a group": "volume inof",
            "no such option": "run --owerwrite job.yaml",
            "no argument": "run",
            "too many arguments": "watch a b",
            "workers out of bounds": "run -w 0 job.yaml",
            "a number that is none": "run -w one job.yaml",
            "a choice that is none": "ls --state ended",
            "no option that must be there": "cluster block c.json job.yaml",
        }.items()
    ),
    Mistake("neither numbers nor --all", ("pause",)),
    Mistake("numbers and --all", ("resume", "1", "--all")),
]

CLUSTER = {
    "_schema_name": "cluster-execution-configuration",
    "_schema_version": 1.0,
    "command_format": "true {task_args}",
    "output_log_directory": "logs",
}


def cluster(title, text=GOOD, args=("run", "c.json", "job.yaml"), without="", **changes):
    content = {key: value for key, value in (CLUSTER | changes).items() if key != without}
    return Mistake(title, ("cluster", *args), {"job.yaml": text, "c.json": json.dumps(content, indent=1)})


CLUSTERS = [
    Mistake("no such configuration", ("cluster", "run", "missing.json", "job.yaml"), {"job.yaml": GOOD}),
    cluster("no such job", args=("run", "c.json", "missing.yaml")),
    cluster("no command", without="command_format"),
    cluster("a command without its arguments", command_format="true"),
    cluster("an unknown key", ONE, zzz=1),
    cluster("a wrong kind", task_threadpool_size="many"),
    cluster("a schema of another", _schema_name="x"),
    cluster("an output that is no fileset", NPY),
    cluster("a roi that is none", args=("block", "c.json", "job.yaml", "--roi", "all")),
    cluster("no such input", GOOD.replace("in.npy", "missing.npy")),
    cluster("a command that does nothing", ONE.replace("retries: 0", "retries: 1")),
]

KINDS = {
    "job-files": JOB_FILES,
    "inputs": ON_THE_INPUT,
    "outputs": OUTPUTS,
    "records": RECORDS,
    "volumes": VOLUMES,
    "configuration": CONFIGURATION,
    "unreachable": UNREACHABLE,
    "usage": USAGE,
    "cluster": CLUSTERS,
}

OF_A_SERVICE = [
    Mistake("no such job", ("status", "999")),
    Mistake("wait for no such job", ("wait", "999")),
    Mistake("cancel no such job", ("cancel", "999")),
    Mistake("the log of no such job", ("logs", "999")),
    Mistake("a block that is none", ("logs", "999", "--block", "here")),
    Mistake("a wrong job file", ("submit", "job.yaml"), {"job.yaml": GOOD + "blok_shape: [4]\n"}),
    Mistake("no such input", ("submit", "job.yaml"), {"job.yaml": GOOD.replace("in.npy", "missing.npy")}),
    Mistake("after no such job", ("submit", "--after", "nobody", "job.yaml"), {"job.yaml": GOOD}),
    Mistake("too many workers", ("workers", "set", "5000")),
    Mistake("a second service at its socket", ("serve", "--state-dir", "elsewhere")),
    Mistake("a second service in its state folder", ("serve", "--socket", "s")),
]
