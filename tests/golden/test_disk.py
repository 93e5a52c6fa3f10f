"""Names and contents of files: of outputs, of what lies beside them, of the service, of cluster runs."""

import json
import re
import signal
import sqlite3
import sys

import h5py
import pytest

ADDRESSES = ("out.json", "out.npy", "out.h5/v")
PROPER = re.compile(r"out\.json|out\.npy|out\.h5|out_blocks(/.*)?")
"""What an output is; everything else is what the run keeps beside it."""


def names_in(folder):
    """All files and folders, without what differs from run to run."""
    found = set()
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        name = re.sub(r"blockmill-\d+-\w+", "blockmill-PID-RANDOM", name)
        name = re.sub(r"\.partial-[\w.-]+", ".partial-RANDOM", name)
        found.add(name + "/" if path.is_dir() else name)
    return found


class Listing:
    """Lines for the two files: outputs, and what lies beside them."""

    def __init__(self):
        self.outputs, self.records = [], []

    def add(self, title, names):
        for lines, wanted in ((self.outputs, True), (self.records, False)):
            lines.append(f"=== {title}")
            lines += sorted(name for name in names if bool(PROPER.fullmatch(name.rstrip("/"))) == wanted)


def finished(commands, fresh, job_file, address):
    folder = fresh()
    job = job_file(folder, output=address)
    before = names_in(folder)
    assert commands.run("run", "-q", job, folder=folder).code == 0
    return folder, names_in(folder) - before


def interrupted(commands, fresh, job_file, wait_until, address):
    """A run that is ended at its third and fourth block: names while it runs, and after it; exit code."""
    folder = fresh()
    gate = folder.parent / "gate"
    for path in folder.parent.glob("gate*"):
        path.unlink()
    job = job_file(folder, "gated", address, args={"gate": str(gate), "free": 20})
    before = names_in(folder)
    process = commands.start("run", job, folder=folder)
    wait_until(lambda: len(list(gate.parent.glob("gate.begun-*"))) == 2, "two blocks at the gate")
    during, places = names_in(folder) - before, names_in(commands.runtime)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    return during, places, names_in(folder) - before, process.returncode, err


def test_files_of_outputs_and_beside_them(golden, commands, fresh, job_file, wait_until):
    listing, ends = Listing(), []
    for address in ADDRESSES:
        listing.add(f"{address}, finished", finished(commands, fresh, job_file, address)[1])
        during, _, after, code, err = interrupted(commands, fresh, job_file, wait_until, address)
        listing.add(f"{address}, half done and at work", during)
        listing.add(f"{address}, half done and interrupted", after)
        ends.append((code, err))
    golden("disk-outputs.txt", "\n".join(listing.outputs) + "\n")
    golden("disk-records.txt", "\n".join(listing.records) + "\n")
    assert ends == [(130, ends[0][1])] * len(ADDRESSES)
    golden("interrupted.txt", f"{ends[0][1]}-> 130\n")


def test_runtime_files_of_a_run(golden, commands, fresh, job_file, wait_until):
    before = names_in(commands.runtime)
    _, places, _, _, _ = interrupted(commands, fresh, job_file, wait_until, "out.json")
    golden("disk-run.txt", "\n".join(sorted(places - before)) + "\n")
    assert names_in(commands.runtime) == before


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
        lines.append(f"{name}: {kind}, chunks {getattr(thing, 'chunks', None)}, attributes {sorted(thing.attrs)}")

    with h5py.File(file) as opened:
        lines.append(f"/: attributes {sorted(opened.attrs)}")
        opened.visititems(visit)
    return lines


def test_contents_of_outputs(golden, commands, fresh, job_file):
    folder, _ = finished(commands, fresh, job_file, "out.json")
    lines = ["=== out.json", *keys_of(json.loads((folder / "out.json").read_text()))]
    status = next(iter(sorted(folder.rglob("STATUS.txt"))))
    lines += [f"=== {status.name}", re.sub(r"\b[0-9a-f]{8,}\b", "HEX", status.read_text()).strip()]
    lines += ["=== a block", *inside(min((folder / "out_blocks").rglob("*.h5")))]
    folder, _ = finished(commands, fresh, job_file, "out.h5/v")
    lines += ["=== out.h5/v", *inside(folder / "out.h5")]
    golden("disk-contents.txt", "\n".join(lines) + "\n")


def test_the_record_of_a_job(golden, commands, fresh, job_file):
    folder, names = finished(commands, fresh, job_file, "out.npy")
    lines = []
    for name in sorted(names - {"out.npy"}):
        path = folder / name
        try:
            content = list(keys_of(json.loads(path.read_text()))) if path.is_file() else []
        except ValueError:
            content = ["(no JSON)"]
        lines += [f"=== {name}", *content]
    golden("disk-record-keys.txt", "\n".join(lines) + "\n")


def test_files_of_a_cluster_run(golden, commands, fresh, job_file):
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
    before = names_in(folder)
    ended = commands.run("cluster", "run", "c.json", job, folder=folder)
    assert ended.code == 0, ended.err
    golden("disk-cluster.txt", "\n".join(sorted(names_in(folder) - before)) + "\n")


@pytest.fixture
def job_of_the_service(commands, service, job_file):
    """A job that has ended."""
    job = job_file(service.folder, "prints", "disk.npy", "disk.yaml")
    ended = commands.run("submit", "--wait", "--json", job, folder=service.folder)
    assert ended.code == 0, ended.err
    return ended.documents[0]["jobs"][0]["id"]


def test_files_of_the_service(golden, commands, service, job_of_the_service):
    lines = []
    for name in ("state", "runtime"):
        lines.append(f"=== {name}")
        names = names_in(commands.base / name)
        lines += sorted({re.sub(r"\bjobs/\d+", "jobs/N", name) for name in names})
    golden("disk-service.txt", "\n".join(lines) + "\n")


def test_schema_of_the_journal(golden, commands, service, job_of_the_service):
    (path,) = (commands.base / "state").rglob("journal.db")
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        tables = database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        numbers = [database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("user_version", "application_id")]
        (record,) = database.execute("SELECT record FROM jobs WHERE id = ?", (job_of_the_service,)).fetchone()
        facts = database.execute("SELECT name FROM facts ORDER BY name").fetchall()
    finally:
        database.close()
    lines = [f"user_version {numbers[0]}, application_id {numbers[1]:#x}"]
    lines += [sql if sql is not None else f"(made by SQLite: {name})" for name, sql in tables]
    lines += ["=== keys of a record", *sorted(keys_of(json.loads(record)))]
    lines += ["=== facts", *(name for (name,) in facts)]
    golden("journal.txt", "\n".join(lines) + "\n")


def test_each_exit_code_is_had_by_a_command(golden, commands, service, fresh, job_file, wait_until):
    folder = fresh()
    good, bad = job_file(folder), job_file(folder, "raises", "bad.npy", "bad.yaml", args={"at": 0}, retries=0)
    other = job_file(folder, {"threshold": {"above": 1}}, name="other.yaml")
    gate = service.folder / "gate-of-codes"
    gated = job_file(service.folder, "gated", "codes.npy", "codes.yaml", args={"gate": str(gate)})
    number = commands.run("submit", "--id-only", gated, folder=service.folder).out.strip()
    tried = [
        ("run", "-q", good),
        ("run", "-q", bad),
        ("run", "--no-such-option"),
        ("status", "999"),
        ("status", "--socket", "nowhere"),
        ("run", "-q", "missing.yaml"),
        ("run", "-q", other),
        ("wait", number, "--timeout", "0"),
        ("wait", number),
    ]
    lines = []
    for args in tried:
        if args == tried[-1]:
            gate.touch()
        code = commands.run(*args, folder=folder).code
        lines.append(f"{code}  blockmill {' '.join('N' if word == number else word for word in args)}")
    golden("exit-codes.txt", "\n".join(lines) + "\n")
