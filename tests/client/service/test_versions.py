"""A client and a service of different versions: what each can't do is told with the one that is older."""

from pathlib import Path

import msgspec
import pytest

from blockmill.client.service.exchange import Exchange
from blockmill.client.service.requests import submit_request
from blockmill.client.service.versions import older_side
from blockmill.shared.errors import JobError, NoSuchJob, Refused, WireError
from blockmill.shared.jobs.job import Job
from blockmill.shared.jobs.job_file import job_of
from blockmill.shared.messages import service as p
from blockmill.shared.version import __version__

REQUESTS = {
    "GetService": p.GetService(),
    "FindJobs": p.FindJobs(name="a"),
    "RetryJob": p.RetryJob(id=3, job={"input": "/data/a.npy"}),
    "SubmitJob": p.SubmitJob(job={"input": {"address": "/data/a.npy", "axes": "zyx"}}, token="t"),
    "GetJob": p.GetJob(id=3),
}
RECORDED = [line.split() for line in Path(__file__).with_name("answers-of-0.1.txt").read_text().splitlines()]
"""What a service of version 0.1.0 has answered to these requests."""
SERVICE_IS_OLDER = f"version 0.1, older than this client, {__version__}: start the service again"


STAGED = {
    "inputs": {"raw": "/data/a.npy"},
    "stages": {
        "smooth": {"input": "raw", "operation": {"gaussian": {"sigma": 2}}},
        "mask": {"input": "smooth", "operation": "copy", "output": "/data/b.npy"},
    },
}


def answer_of_first_version(name):
    exchange = Exchange()
    for _ in range(list(REQUESTS).index(name) + 1):  # so that the numbers are those of the record
        exchange.call(REQUESTS[name])
    return exchange.reply(bytes.fromhex(dict(RECORDED)[name]))


@pytest.mark.parametrize("name", ["FindJobs", "RetryJob"])
def test_a_request_that_the_first_version_does_not_know_is_told_with_the_older_side(name):
    with pytest.raises(Refused, match="does not understand this request") as caught:
        answer_of_first_version(name)
    assert SERVICE_IS_OLDER in str(caught.value)


def test_a_job_that_the_first_version_refuses_is_told_with_the_older_side():
    words = r"^input.axes: unknown key; known are address\nIf that is"
    with pytest.raises(JobError, match=words) as caught:
        answer_of_first_version("SubmitJob")
    assert SERVICE_IS_OLDER in str(caught.value)


def test_a_refusal_that_has_nothing_to_do_with_versions_stays_as_it_is():
    with pytest.raises(
        NoSuchJob, match=r"^there is no job 3; `blockmill ls --all` lists those that are known$"
    ):
        answer_of_first_version("GetJob")


def test_the_first_version_can_not_call_itself_by_that_of_the_files_on_disk():
    """It says the version of what is installed, and so the new one once an upgrade has replaced its files."""
    assert answer_of_first_version("GetService").version == "0.1.0"
    recorded = msgspec.msgpack.decode(bytes.fromhex(dict(RECORDED)["GetService"]))
    recorded[2]["version"] = __version__
    exchange = Exchange()
    exchange.call(p.GetService())
    assert exchange.reply(msgspec.msgpack.encode(recorded)).version == "0.1"


def reply_to_a_call(answer):
    exchange = Exchange()
    exchange.call(p.GetJob(id=3))
    return exchange.reply(msgspec.msgpack.encode(answer))


@pytest.mark.parametrize(
    ("software", "older"),
    [
        (
            "99.1",
            f"this client is of version {__version__}, older than the service, 99.1: upgrade the client",
        ),
        ("0.1.7", f"version 0.1.7, older than this client, {__version__}: start the service again"),
    ],
)
def test_an_answer_that_can_not_be_read_is_told_with_the_older_side(software, older):
    for answer in (
        [p.VERSION, 1, {"type": "News"}, software],
        [p.VERSION + 1, 1, {"type": "News"}, software],
        [p.VERSION, 1, {"type": "Refusal", "kind": "protocol", "message": "what?"}, software],
    ):
        with pytest.raises(Refused) as caught:
            reply_to_a_call(answer)
        assert older in str(caught.value)


def test_nonsense_from_a_service_of_the_same_version_is_called_nonsense():
    with pytest.raises(WireError, match="not a message of protocol"):
        reply_to_a_call([p.VERSION, 1, {"type": "News"}, __version__])
    with pytest.raises(Refused, match=r"^what\?$"):
        reply_to_a_call([1, 1, {"type": "Refusal", "kind": "protocol", "message": "what?"}, __version__])


def test_a_job_is_sent_without_the_keys_that_say_nothing():
    """A service that does not know a key takes the jobs that have no need of it."""
    job = {"input": "/data/a.npy", "output": "/data/b.npy", "operation": {"python": {"function": "a:b"}}}
    sent = submit_request({**job, "user_code": "/data"}, None, None, (), False, False).job
    assert sent == {
        "input": {"address": "/data/a.npy"},
        "output": {"address": "/data/b.npy"},
        "operation": {"python": {"function": "a:b"}},
        "user_code": "/data",
    }


@pytest.mark.parametrize(
    "keys",
    [
        {"retries": 0, "after": [1, "b"], "roi": [[0, 0, 0], [9, 9, 9]], "operation": "copy"},
        {"output": {"address": "/data/b.json", "block_shape": [4, 5, 6], "compression": "gzip"}},
        {"output": "/data/b.h5/v", "operation": [{"gaussian": {"sigma": 2}}, {"median": {"size": 3}}]},
        {"operation": {"python": {"function": "a:b", "halo": 2, "args": {"x": None}}}, "user_code": "/data"},
        {
            "input": {"a": "/data/a.npy", "b": "/data/c.npy"},
            "operation": {"arithmetic": {"expression": "a + b"}},
        },
    ],
    ids=["plain", "fileset", "chain", "python", "inputs"],
)
def test_a_job_that_is_sent_without_its_defaults_is_the_same_job(keys):
    job = {"input": "/data/a.npy", "output": "/data/b.npy", "operation": {"gaussian": {"sigma": 1.5}}, **keys}
    sent = submit_request(job, None, None, (), False, False).job
    assert Job.of(sent) == Job.of(job)
    assert Job.of(sent).model_dump(mode="json") == Job.of(job).model_dump(mode="json")


def test_a_job_of_stages_that_is_sent_without_its_defaults_is_the_same_job():
    sent = submit_request(STAGED, None, None, (), False, False).job
    assert job_of(sent) == job_of(STAGED)


def test_two_of_one_version_have_no_older_side():
    assert older_side(__version__) == ""
