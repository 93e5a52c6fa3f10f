import contextlib
import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.shared.errors import JobError, JobFileError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.jobs.job import Job, job_hash
from blockmill.shared.jobs.job_file import load_job, message_with_position
from blockmill.shared.operations.registry import operation_names
from blockmill.shared.schema.fields import parse_size

SMALL = "input: a.json\noutput: b.json\n"


def mistakes(text):
    with pytest.raises(JobFileError) as caught:
        load_job("job.yaml", text)
    return str(caught.value).splitlines()


def test_the_example_is_read_whole(tmp_path):
    (tmp_path / "smooth.yaml").write_text(
        """\
input: cells.json
output: {address: smooth.json, block_shape: [64, 64, 64], compression: gzip, compression_opts: 1}
operation: {gaussian: {sigma: 1.5}}
roi: [[0, 0, 0], [64, 64, 64]]
block_shape: [128, 64, 64]
workers: 3
memory_per_worker: 2GiB
retries: 0
on_error: finish
block_timeout_s: 60
user_code: steps
order: block
"""
    )
    job = load_job(tmp_path / "smooth.yaml")
    assert job.name == "smooth"
    assert job.input.address == str(tmp_path / "cells.json")
    assert job.output.address == str(tmp_path / "smooth.json")
    assert job.output.block_shape == (64, 64, 64)
    assert (job.output.compression, job.output.compression_opts) == ("gzip", 1)
    assert job.operation.halo_per_axis("zyx") == (6, 6, 6)
    assert job.roi == Roi((0, 0, 0), (64, 64, 64))
    assert job.block_shape == (128, 64, 64)
    assert (job.workers, job.memory_per_worker, job.retries) == (3, 2 << 30, 0)
    assert (job.on_error, job.order, job.block_timeout_s) == ("finish", "block", 60.0)
    assert job.user_code == str(tmp_path / "steps")


def test_the_defaults():
    job = load_job("job.yaml", SMALL + "operation: copy")
    assert (job.retries, job.on_error, job.order, job.output.durability) == (2, "fail", "arrival", "group")
    assert (job.roi, job.block_shape, job.workers, job.memory_per_worker) == (None, None, None, None)


@pytest.mark.parametrize(
    ("address", "absolute"),
    [
        ("cells.json", "/jobs/cells.json"),
        ("./cells.json", "/jobs/cells.json"),
        ("../f.h5/volume/data", "/f.h5/volume/data"),
        ("/data/cells.json", "/data/cells.json"),
        ("http://host/volume/", "http://host/volume/"),
        ("~/cells.json", "/home/me/cells.json"),
        ("~other/cells.json", "/jobs/~other/cells.json"),
    ],
)
def test_relative_addresses_lie_in_the_folder_of_the_job_file(address, absolute, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    text = f"input: {{address: {address}}}\noutput: b.json\noperation: copy"
    assert load_job("/jobs/job.yaml", text).input.address == absolute


def test_a_job_from_standard_input_lies_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = load_job("-", SMALL + "operation: copy")
    assert job.input.address == str(tmp_path / "a.json")
    assert job.name is None


def wrong_jobs():
    """Job files with their messages: file, ``---``, messages; ``===`` between two of them."""
    for case in Path(__file__).with_name("wrong_jobs.txt").read_text().split("\n===\n"):
        text, expected = case.split("\n---\n")
        yield pytest.param(text, expected.splitlines(), id=expected.split("\n")[0])


@pytest.mark.parametrize(("text", "expected"), list(wrong_jobs()))
def test_a_wrong_job_file_is_told_at_once_in_the_order_of_its_lines(text, expected, monkeypatch):
    monkeypatch.setattr(Path, "absolute", lambda self: Path("/jobs") / self)
    known = ", ".join(operation_names())
    assert mistakes(text) == [line.replace("OPERATIONS", known) for line in expected]


PLACED = """\
input: a.json
output: {address: b.json, block_shape: [4, 4]}
operation:
  gaussian:
    sigma: [1, 2]
roi: [[0, 0],
  [9, 9]]
workers: 2
"""


@pytest.mark.parametrize(
    ("message", "place"),
    [
        ("roi: roi [0, 0]-[9, 9] leaves the input", "6:6"),
        ("roi[1][0]: is too large", "7:4"),
        ("output.block_shape: [4, 4] has 2 axes", "2:40"),
        ("output.chunks don't go with .npy", "2:9"),
        ("operation.gaussian.sigma has 2 entries", "5:12"),
        ("operation.gaussian.truncate has 2 entries", "5:5"),
        ("workers", "8:10"),
        ("workers:", "8:10"),
        ("workers: a\nroi: b", "8:10"),
    ],
)
def test_a_message_after_reading_is_told_with_the_place_of_its_key(tmp_path, message, place):
    path = tmp_path / "job.yaml"
    path.write_text(PLACED)
    assert message_with_position(str(path), message) == f"{path}:{place} {message}"


def test_the_place_is_the_one_that_reading_would_tell(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(SMALL + "operation: {gaussian: {sigma: -1}}")
    with pytest.raises(JobFileError) as caught:
        load_job(path)
    told = str(caught.value)
    assert message_with_position(str(path), told.split(" ", 1)[1]) == told


@pytest.mark.parametrize(
    "message",
    [
        "", "one block of [4] needs more", "block_shape: is not in this file", "rois: no key", "roi-like: x",
        "roi:9:9 x", "data: no key", ": roi", "roi.", f"roi[{'9' * 5000}]: x",
    ],
)  # fmt: skip
def test_a_message_without_a_key_of_the_file_stays_as_it_is(tmp_path, message):
    path = tmp_path / "job.yaml"
    path.write_text(PLACED)
    assert message_with_position(str(path), message) == message


def test_a_message_is_told_although_the_file_can_not_be_read_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("-").write_text(PLACED)
    Path("broken.yaml").write_text("roi: [")
    Path("bytes.yaml").write_bytes(b"roi: \xff")
    os.mkfifo("pipe")
    for path in ("-", "gone.yaml", "broken.yaml", "bytes.yaml", "pipe", ".", "a\0b", "x" * 5000, ""):
        assert message_with_position(path, "roi: leaves") == "roi: leaves"


def test_a_mapping_with_mistakes_is_told_without_lines():
    with pytest.raises(JobError) as caught:
        Job.of({"input": "a", "operation": {"gaussian": {"sigma": [1, 0, -1]}}, "outptu": 6})
    assert str(caught.value).splitlines() == [
        "output: is missing",
        "operation.gaussian.sigma[2]: must be at least 0 (is -1)",
        "outptu: unknown key; did you mean output?",
    ]


@pytest.mark.parametrize("data", [None, 5, "input: a", [], {5: 6}])
def test_what_is_no_mapping_of_texts_is_a_job_error(data):
    with pytest.raises(JobError, match=r"must be a mapping|5: unknown key"):
        Job.of(data)


def test_a_halo_of_the_job_becomes_that_of_the_python_operation():
    job = Job.of({"input": "a", "output": "b", "operation": {"python": {"function": "m:f"}}, "halo": [1, 2]})
    assert job.operation.halo_per_axis("yx") == (1, 2)
    assert Job.of(job.model_dump(mode="json")) == job


def test_numbers_of_numpy_are_numbers():
    job = Job.of(
        {
            "input": "a",
            "output": "b",
            "operation": {"gaussian": {"sigma": np.float32(1.5)}},
            "workers": np.int64(2),
            "block_shape": tuple(np.array([4, 5])),
            "roi": Roi((0, 0), (8, 9)),
        }
    )
    assert (job.workers, job.block_shape, job.operation.sigma) == (2, (4, 5), 1.5)
    assert json.loads(json.dumps(job.model_dump(mode="json")))["roi"] == [[0, 0], [8, 9]]


def test_a_job_does_not_change():
    job = Job.of({"input": "a", "output": "b", "operation": "copy"})
    with pytest.raises(ValueError, match="frozen"):
        job.retries = 3


def test_resolving_makes_the_paths_absolute_and_changes_nothing_else():
    job = Job.of({"input": "a", "output": "b", "operation": "copy", "user_code": "."})
    resolved = job.resolved("/data")
    assert (resolved.input.address, resolved.output.address, resolved.user_code) == (
        "/data/a",
        "/data/b",
        "/data",
    )
    assert resolved.resolved("/elsewhere") == resolved


counts = st.integers(1, 100)


@st.composite
def jobs(draw):
    """Anything that a job file may say, as a mapping."""
    ndim = draw(st.integers(1, 4))
    shape = st.lists(counts, min_size=ndim, max_size=ndim)
    number = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    sigma = st.floats(0, 50) | st.integers(0, 50)
    leaf = st.none() | st.booleans() | number | st.text(max_size=5)
    tree = st.recursive(
        leaf, lambda t: st.lists(t, max_size=2) | st.dictionaries(st.text(max_size=3), t, max_size=2)
    )
    operation = draw(
        st.sampled_from(["copy", {"copy": None}])
        | st.fixed_dictionaries({"sigma": sigma | st.lists(sigma, min_size=ndim, max_size=ndim)}, optional={
            "mode": st.sampled_from(["reflect", "nearest", "mirror", "constant"]),
            "truncate": st.floats(0.1, 9),
            "cval": st.floats(allow_nan=False, allow_infinity=False),
        }).map(lambda p: {"gaussian": p})
        | st.fixed_dictionaries({"above": number}).map(lambda p: {"threshold": p})
        | st.fixed_dictionaries({"dtype": st.sampled_from(["uint8", "float32"])}, optional={
            "clip": st.booleans(),
        }).map(lambda p: {"copy": p})
        | st.fixed_dictionaries({"function": st.sampled_from(["m:f", "a.b_1:C.g"])}, optional={
            "halo": counts | shape,
            "dtype": st.none() | st.just("bool"),
            "memory_factor": st.floats(1, 20),
            "args": st.dictionaries(st.text(max_size=4), tree, max_size=2),
        }).map(lambda p: {"python": p})
    )  # fmt: skip
    output = {
        "block_shape": st.none() | shape,
        "chunks": shape,
        "compression": st.sampled_from([None, "none", "gzip", "lzf"]),
        "durability": st.sampled_from(["none", "block", "group"]),
    }
    start = draw(st.lists(st.integers(0, 9), min_size=ndim, max_size=ndim))
    optional = {
        "name": st.just("été"),
        "roi": shape.map(lambda extent: [start, [a + n for a, n in zip(start, extent, strict=True)]]),
        "block_shape": shape,
        "workers": counts,
        "memory_per_worker": counts | st.sampled_from(["2GiB", "1.5 MB"]),
        "retries": st.integers(0, 9),
        "on_error": st.sampled_from(["fail", "finish"]),
        "block_timeout_s": counts | st.floats(0.5, 9),
        "user_code": st.just("code"),
        "order": st.sampled_from(["arrival", "block"]),
    }
    required = {
        "input": st.sampled_from(["a.json", {"address": "a.json"}]),
        "output": st.just("b") | st.fixed_dictionaries({"address": st.just("b")}, optional=output),
        "operation": st.just(operation),
    }
    return draw(st.fixed_dictionaries(required, optional=optional))


@given(jobs())
def test_a_job_comes_back_from_plain_json_as_it_was(data):
    job = Job.of(data)
    plain = json.loads(json.dumps(job.model_dump(mode="json"), allow_nan=False))
    assert Job.of(plain) == job
    assert Job.model_validate_json(job.model_dump_json()) == job
    assert Job.of(plain).model_dump(mode="json") == plain
    assert identity(job) == identity(Job.of(plain))


def identity(job):
    """The job's identity on a volume of as many axes as its lists ask for."""
    for axes in ("zyx", "x", "yx", "czyx", "tczyx", "wtczyx"):
        with contextlib.suppress(JobError):
            return job.identity(axes)
    raise AssertionError(f"no number of axes fits {job}")


def identity_hash(**changes):
    data = {"input": "a", "output": {"address": "b"}, "operation": {"gaussian": {"sigma": 2}}}
    return job_hash(identity(Job.of(data | changes)))


def test_what_decides_the_voxels_or_the_files_is_part_of_the_identity():
    variants = [
        {},
        {"input": "c"},
        {"operation": {"gaussian": {"sigma": 3}}},
        {"operation": {"gaussian": {"sigma": [2, 2]}}},
        {"operation": {"gaussian": {"sigma": 2, "mode": "mirror"}}},
        {"operation": "copy"},
        {"operation": {"python": {"function": "m:f"}}},
        {"operation": {"python": {"function": "m:f"}}, "halo": 2},
        {"operation": {"python": {"function": "m:f"}}, "block_shape": [4, 4]},
        {"operation": {"python": {"function": "m:f"}}, "user_code": "/code"},
        {"operation": {"python": {"function": "m:f", "args": {"x": 1}}}},
        {"roi": [[0, 0], [4, 4]]},
        {"output": {"address": "b", "block_shape": [4, 4]}},
        {"output": {"address": "b", "chunks": [4, 4]}},
        {"output": {"address": "b", "compression": "gzip"}},
        {"output": {"address": "b", "compression": "gzip", "compression_opts": 1}},
    ]
    hashes = [identity_hash(**changes) for changes in variants]
    assert len(set(hashes)) == len(variants)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"workers": 3},
        {"memory_per_worker": "1GiB"},
        {"retries": 9},
        {"on_error": "finish"},
        {"block_timeout_s": 3},
        {"order": "block"},
        {"check_input": False},
        {"block_shape": [4, 4]},
        {"output": "b"},
        {"output": "elsewhere"},
        {"output": {"address": "b", "durability": "block"}},
        {"operation": {"gaussian": {"sigma": 2.0, "truncate": 4}}},
    ],
)
def test_how_the_work_is_done_is_no_part_of_the_identity(changes):
    assert identity_hash(**changes) == identity_hash()


def test_a_hash_depends_on_values_alone():
    assert job_hash({"a": 1, "b": [2]}) == job_hash({"b": (2,), "a": 1}) != job_hash({"a": 1, "b": [3]})
    assert job_hash({}) == "44136fa355b3678a"
    with pytest.raises(TypeError):
        job_hash({"a": np.int64(1)})
    with pytest.raises(ValueError, match="Out of range float"):
        job_hash({"a": float("nan")})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (0, 0), (7, 7), ("7", 7), ("7B", 7), ("2GiB", 2 << 30), (" 2 gib ", 2 << 30), ("500 MB", 500_000_000),
        ("2G", 2 << 30), ("1.5 m", 3 << 19),
        ("1KiB", 1024), ("1KB", 1000), ("1MiB", 1 << 20), ("3TiB", 3 << 40), ("3TB", 3 * 10**12),
        ("1GB", 10**9),
        ("1.5KiB", 1536), ("0.0001KB", 0),
    ],
)  # fmt: skip
def test_sizes(text, expected):
    assert parse_size(text) == expected


@pytest.mark.parametrize(
    "text", ["", "GiB", "2 GG", "G", "-1", -1, 2.5, True, None, "1e3", "1,5GiB", "٢GiB", [1]]
)
def test_what_is_no_size_is_refused_with_the_units(text):
    with pytest.raises(JobError, match="a size such as 2GiB, in B, KiB, KB, MiB"):
        parse_size(text)


def test_json_schema_describes_the_file():
    schema = Job.model_json_schema()
    assert schema["required"] == ["input", "output", "operation"]
    names = [
        next(iter(branch.get("properties", {"": 0})))
        for branch in flattened(schema["properties"]["operation"])
    ]
    assert sorted(filter(None, names)) == operation_names()
    assert schema["$defs"]["Gaussian"]["properties"]["truncate"]["exclusiveMinimum"] == 0
    assert "halo" in schema["$defs"]["PythonFunction"]["properties"]
    json.dumps(Job.model_json_schema(mode="serialization"))


def flattened(schema):
    choices = schema.get("anyOf") or schema.get("oneOf")
    return [leaf for choice in choices for leaf in flattened(choice)] if choices else [schema]


def test_reading_jobs_loads_nothing_heavy():
    code = (
        "import sys, blockmill.shared.jobs.job; "
        "heavy = {'scipy', 'h5py', 'zmq', 'sqlite3', 'blockmill.workers'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_home_of_an_account_may_be_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    root = pwd.getpwuid(0)
    for written, meant in {
        "~/a.npy": "/home/me/a.npy",
        f"~{root.pw_name}/a.npy": f"{root.pw_dir}/a.npy",
        "~nobody-of-this-name/a.npy": f"{tmp_path}/~nobody-of-this-name/a.npy",
        "x~/a.npy": f"{tmp_path}/x~/a.npy",
    }.items():
        job = Job.of({"input": written, "output": "o.npy", "operation": "copy"}).resolved(tmp_path)
        assert job.input.address == meant


def test_mistakes_in_a_job_that_is_made_in_python_are_told_in_our_words():
    fields = {"input": "a.npy", "output": "b.npy", "operation": {"gaussian": {"sigma": -1}}, "worker": 3}
    with pytest.raises(JobError) as caught:
        Job(**fields)
    with pytest.raises(JobError) as told:
        Job.of(fields)
    assert str(caught.value) == str(told.value)
    assert "worker: unknown key; did you mean workers?" in str(caught.value)
    assert "pydantic" not in str(caught.value)


def test_paths_are_addresses_too():
    job = Job(input=Path("a.npy"), output=Path("b.npy"), operation="copy")
    assert (job.input.address, job.output.address) == ("a.npy", "b.npy")
