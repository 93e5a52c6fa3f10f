"""Names and contents of files: of outputs, of what lies beside them, of the service, of cluster runs."""

import json
import re
import sqlite3
import sys

import h5py
import pytest

ADDRESSES = ("out.json", "out.npy", "out.h5/v")
PROPER = re.compile(r"out\.json|out\.npy|out\.h5|out_blocks(/.*)?")
"""What an output is; everything else is what the run keeps beside it."""


def masked(names):
    """Names without what differs from run to run, in order."""
    masks = {
        r"blockmill-\d+-\w+": "blockmill-PID-RANDOM",
        r"worker-\d+": "worker-N",
        r"\bjobs/\d+": "jobs/N",
    }
    found = set()
    for name in names:
        for pattern, mask in masks.items():
            name = re.sub(pattern, mask, name)
        found.add(name)
    return sorted(found)


class Listing:
    """Lines for the two files: outputs, and what lies beside them."""

    def __init__(self):
        self.outputs, self.records = [], []

    def add(self, title, names):
        for lines, wanted in ((self.outputs, True), (self.records, False)):
            lines.append(f"=== {title}")
            lines += sorted(name for name in names if bool(PROPER.fullmatch(name.rstrip("/"))) == wanted)


@pytest.fixture
def finished(commands, fresh, job_file, names):
    """Runs a job to its end; the folder, and the names of the files that it has made."""

    def run(address):
        folder = fresh()
        job = job_file(folder, output=address)
        before = names(folder)
        assert commands.run("run", "-q", job, folder=folder).code == 0
        return folder, names(folder) - before

    return run


def test_files_of_outputs_and_beside_them(golden, finished, half_done):
    listing = Listing()
    for address in ADDRESSES:
        listing.add(f"{address}, finished", finished(address)[1])
        run = half_done(address)
        listing.add(f"{address}, half done and at work", run.during)
        listing.add(f"{address}, half done and interrupted", run.after)
    golden("disk-outputs.txt", "\n".join(listing.outputs) + "\n")
    golden("disk-records.txt", "\n".join(listing.records) + "\n")


def test_runtime_files_of_a_run(golden, half_done):
    golden("disk-run.txt", "\n".join(masked(half_done("out.npy").places)) + "\n")


def keys_of(value, at=""):
    """Paths of the keys of a JSON document."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{at}{key}"
            yield from keys_of(inner, f"{at}{key}.")


def inside(file):
    """Groups, datasets and attributes of an HDF5 file."""
    lines = []

    def visit(name, thing):
        kind = "group" if isinstance(thing, h5py.Group) else f"dataset {thing.dtype} {thing.shape}"
        lines.append(
            f"{name}: {kind}, chunks {getattr(thing, 'chunks', None)}, attributes {sorted(thing.attrs)}"
        )

    with h5py.File(file) as opened:
        lines.append(f"/: attributes {sorted(opened.attrs)}")
        opened.visititems(visit)
    return lines


def test_contents_of_outputs(golden, finished):
    folder, _ = finished("out.json")
    lines = ["=== out.json", *keys_of(json.loads((folder / "out.json").read_text()))]
    status = next(iter(sorted(folder.rglob("STATUS.txt"))))
    head, _, record = status.read_text().rpartition("\n\n")
    lines += [f"=== {status.name}", *(line.partition(":")[0] for line in head.splitlines())]
    lines += ["", *keys_of(json.loads(record))]
    lines += ["=== a block", *inside(min((folder / "out_blocks").rglob("*.h5")))]
    folder, _ = finished("out.h5/v")
    lines += ["=== out.h5/v", *inside(folder / "out.h5")]
    golden("disk-contents.txt", "\n".join(lines) + "\n")


def test_the_record_of_a_job(golden, finished):
    folder, made = finished("out.npy")
    lines = []
    for name in sorted(made - {"out.npy"}):
        path = folder / name
        try:
            content = list(keys_of(json.loads(path.read_text()))) if path.is_file() else []
        except ValueError:
            content = ["(no JSON)"]
        lines += [f"=== {name}", *content]
    golden("disk-record-keys.txt", "\n".join(lines) + "\n")


def test_files_of_a_cluster_run(golden, commands, fresh, job_file, names):
    folder = fresh()
    job = job_file(folder, output="out.json")
    config = {
        "_schema_name": "cluster-execution-configuration",
        "_schema_version": 1.0,
        "command_format": f"'{sys.executable}' -m blockmill {{task_args}}",
        "output_log_directory": "logs",
        "task_threadpool_size": 1,
    }
    (folder / "c.json").write_text(json.dumps(config))
    text = (folder / job).read_text()
    (folder / job).write_text(text.replace('"block_shape": [10, 30, 20]', '"block_shape": [40, 30, 20]'))
    before = names(folder)
    ended = commands.run("cluster", "run", "c.json", job, folder=folder)
    assert ended.code == 0, ended.err
    golden("disk-cluster.txt", "\n".join(sorted(names(folder) - before)) + "\n")


@pytest.fixture
def job_of_the_service(commands, service, job_file):
    """A job that has ended."""
    job = job_file(service.folder, "prints", "disk.npy", "disk.yaml")
    ended = commands.run("submit", "--wait", "--json", job, folder=service.folder)
    assert ended.code == 0, ended.err
    return ended.documents[0]["jobs"][0]["id"]


def test_files_of_the_service(golden, commands, service, job_of_the_service, names):
    lines = []
    for place in ("state", "runtime"):
        lines += [f"=== {place}", *masked(names(commands.base / place))]
    golden("disk-service.txt", "\n".join(lines) + "\n")


def test_schema_of_the_journal(golden, commands, service, job_of_the_service):
    for verb in ("pause", "resume"):  # a fact that is written when it first changes
        assert commands.run(verb, "--all", folder=service.folder).code == 0
    (path,) = (commands.base / "state").rglob("journal.db")
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        tables = database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        numbers = [
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("user_version", "application_id")
        ]
        (record,) = database.execute("SELECT record FROM jobs WHERE id = ?", (job_of_the_service,)).fetchone()
        facts = database.execute("SELECT name FROM facts ORDER BY name").fetchall()
    finally:
        database.close()
    lines = [f"user_version {numbers[0]}, application_id {numbers[1]:#x}"]
    lines += [sql if sql is not None else f"(made by SQLite: {name})" for name, sql in tables]
    lines += ["=== keys of a record", *sorted(keys_of(json.loads(record)))]
    lines += ["=== facts", *(name for (name,) in facts)]
    golden("journal.txt", "\n".join(lines) + "\n")
