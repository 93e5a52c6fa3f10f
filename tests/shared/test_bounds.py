"""Data from outside that is too large is refused before it is worked through, in a short answer."""

import difflib

import msgspec
import pytest

from blockmill.shared.bounds import MOST_DEPTH, MOST_VALUES, excess_of
from blockmill.shared.config.model import check_config
from blockmill.shared.errors import JobError, JobFileError, WireError
from blockmill.shared.jobs.job import Job
from blockmill.shared.jobs.job_file import load_job
from blockmill.shared.messages import service as p
from blockmill.shared.operations.registry import parse_operation

JOB = {"input": "/a.npy", "output": "/b.npy", "operation": "copy"}


def nested(depth, make=lambda inner: [inner]):
    value = 0
    for _ in range(depth):
        value = make(value)
    return value


def refusal(data):
    with pytest.raises(JobError) as caught:
        Job.of(data)
    text = str(caught.value)
    assert len(text) < 5000
    return text


@pytest.fixture
def no_guesses(monkeypatch):
    """No nearest word may be looked for: each costs time."""
    monkeypatch.setattr(difflib, "get_close_matches", lambda *_, **__: pytest.fail("looks for words"))


def test_nesting_is_measured_without_a_recursion():
    assert excess_of(nested(MOST_DEPTH)) is None
    assert excess_of(nested(MOST_DEPTH + 1)) == "is nested more than 50 deep"
    assert excess_of(nested(100_000, lambda inner: {"a": inner})) == "is nested more than 50 deep"


def test_values_are_counted_wherever_they_are():
    assert excess_of([list(range(MOST_VALUES - 1))]) is None
    assert excess_of([list(range(MOST_VALUES))]) == "holds more than 100000 values"
    twins = []
    twins += [twins, twins]  # a list in itself has no end
    assert excess_of(twins) is not None


def test_a_job_with_very_many_unknown_keys_gets_one_complaint(no_guesses):
    keys = {f"k{i}": i for i in range(50_000)}
    assert refusal(JOB | keys) == "there are 50003 keys here; no such mapping has more than 100"
    at = "there are 50000 keys here; no such mapping has more than 100"
    assert refusal(JOB | {"operation": {"gaussian": keys}}) == f"operation.gaussian: {at}"
    assert f"input: {at}" in refusal(JOB | {"input": keys})
    assert f"output: {at}" in refusal(JOB | {"output": keys})


def test_an_operation_with_very_many_names_names_a_few(no_guesses):
    text = refusal(JOB | {"operation": {f"k{i}": i for i in range(50_000)}})
    assert "(has 50000: k0, k1," in text


def test_of_many_mistakes_the_first_are_told_and_the_others_counted():
    lines = refusal(JOB | {f"k{i}": i for i in range(90)}).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "and 70 more mistakes"


@pytest.mark.parametrize(
    "key", ["roi", "block_shape", "halo", "input", "chunks", "sigma", "size", "factor", "axes"]
)
def test_very_many_axes_are_refused_at_once(key, no_guesses):
    many = ["x"] * 200_000  # each of them wrong
    jobs = {
        "roi": {"roi": [many, many]},
        "block_shape": {"block_shape": many},
        "halo": {"halo": many},
        "input": {"input": {"address": "/a.npy", "voxel_size": many}},
        "chunks": {"output": {"address": "/b.npy", "chunks": many}},
        "sigma": {"operation": {"gaussian": {"sigma": many}}},
        "size": {"operation": {"median": {"size": many}}},
        "factor": {"operation": {"downsample": {"factor": many}}},
        "axes": {"operation": {"gaussian": {"sigma": {str(i): 1 for i in range(200)}}}},
    }
    text = refusal(JOB | jobs[key])
    assert "holds more than 100000 values" in text or "a volume has at most 32 axes" in text
    assert len(text.splitlines()) == 1


def test_33_axes_are_too_many_and_32_are_not():
    assert refusal(JOB | {"roi": [[0] * 33, [1] * 33]}).startswith("roi: has 33 entries")
    for name, key in (("gaussian", "sigma"), ("median", "size"), ("downsample", "factor")):
        text = refusal(JOB | {"operation": {name: {key: [1] * 33}}})
        assert text.startswith(f"operation.{name}.{key}: has 33 entries")
    assert Job.of(JOB | {"roi": [[0] * 32, [1] * 32]}).roi.stop == (1,) * 32


@pytest.mark.parametrize("key", ["args", "roi", "name"])
def test_deep_values_are_no_defect(key):
    deep = nested(900, lambda inner: {"a": inner})
    where = {"operation": {"python": {"function": "a:b", "args": deep}}} if key == "args" else {key: [deep]}
    assert refusal(JOB | where) == "is nested more than 50 deep"
    with pytest.raises(JobError, match="nested more than 50 deep"):
        parse_operation({"python": {"function": "a:b", "args": deep}})


def test_long_texts_are_refused_and_not_repeated():
    long = "x" * 1_000_000
    for key in ("name", "label", "input", "user_code"):
        assert "must be a text of at most 8192 characters" in refusal(JOB | {key: long})
    assert len(refusal(JOB | {long: 1})) < 500
    assert len(refusal(JOB | {"operation": long})) < 500
    assert len(refusal(JOB | {"operation": {long: 1}})) < 500
    assert len(refusal(JOB | {"operation": {"copy": {"dtype": long[:8000]}}})) < 500


def test_very_many_predecessors_are_refused():
    assert "names 1001 jobs" in refusal(JOB | {"after": list(range(1001))})
    assert len(Job.of(JOB | {"after": list(range(1000))}).after) == 1000


def test_a_job_file_tells_the_first_mistakes_with_their_lines(tmp_path):
    path = tmp_path / "j.yaml"
    path.write_text(
        "input: a.npy\noutput: b.npy\noperation: copy\n" + "".join(f"k{i}: 1\n" for i in range(30))
    )
    with pytest.raises(JobFileError) as caught:
        load_job(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[0].startswith(f"{path}:4:1 k0: unknown key")
    assert lines[-1] == f"{path}: and 10 more mistakes"


def test_a_file_of_double_keys_tells_the_first(tmp_path):
    path = tmp_path / "j.yaml"
    path.write_text("input: a.npy\n" * 10_000)
    with pytest.raises(JobFileError) as caught:
        load_job(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[-1] == f"{path}: and 9979 more mistakes"


def test_a_configuration_is_bounded_as_jobs_are(no_guesses):
    complaints = check_config({f"k{i}": i for i in range(50_000)})
    assert [one.text for one in complaints] == [
        "there are 50000 keys here; no such mapping has more than 100"
    ]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"type": "PauseJobs", "ids": list(range(10_001))}, "length <= 10000"),
        ({"type": "SubmitJob", "token": "t", "job": {}, "after": list(range(1_001))}, "length <= 1000"),
        ({"type": "SubmitJob", "token": "t" * 257, "job": {}}, "length <= 256"),
        ({"type": "ListJobs", "label": "t" * 8193}, "length <= 8192"),
        ({"type": "ListJobs", "states": ["done"] * 101}, "length <= 100"),
    ],
)
def test_calls_are_bounded(request_, reason):
    with pytest.raises(WireError) as caught:
        p.decode_call(msgspec.msgpack.encode([1, 1, request_]))
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_an_unknown_call_is_not_repeated_in_the_answer():
    with pytest.raises(WireError) as caught:
        p.decode_call(msgspec.msgpack.encode([1, 1, {"type": "x" * 1_000_000}]))
    assert len(str(caught.value)) < 1000
