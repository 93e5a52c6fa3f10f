import contextlib
from pathlib import Path

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

import blockmill
from blockmill.shared.errors import WireError
from blockmill.shared.messages import records
from blockmill.shared.messages import service as p

CALL = p.encode(p.Call(p.VERSION, 7, p.WaitJob(id=3, seen=5)))


def test_calls_and_answers_come_back_as_they_were():
    for request in (
        p.SubmitJob(job={"input": "a"}, token="x", after=(1, "b"), priority=-2),
        p.ListJobs(states=("done",), label="x"),
        p.PauseJobs(),
        p.ReadLog(id=1, offset=-1, wait_s=2.0),
    ):
        assert p.decode_call(p.encode(p.Call(p.VERSION, 9, request))) == p.Call(p.VERSION, 9, request)
    info = records.JobInfo(id=1, name="n", owner=5, output="o", submitted_s=1.0)
    answer = p.Answer(p.VERSION, 9, p.Jobs(jobs=(info,)))
    assert p.decode_answer(p.encode(answer)) == answer


@pytest.mark.parametrize("state", sorted(records.ENDED))
def test_a_job_has_ended_in_these_states_alone(state):
    info = records.JobInfo(id=1, name="n", owner=5, output="o", submitted_s=1.0, state=state)
    assert info.ended
    assert not msgspec.structs.replace(info, state="cancelling").ended


@given(st.binary(max_size=200))
def test_any_bytes_give_a_message_or_an_error(data):
    for decode in (p.decode_call, p.decode_answer):
        with contextlib.suppress(WireError):
            decode(data)


@given(st.integers(0, len(CALL) - 1), st.integers(0, 255), st.integers(0, len(CALL)))
def test_a_call_with_a_wrong_byte_or_cut_off_is_no_crash(place, byte, length):
    for data in (CALL[:place] + bytes([byte]) + CALL[place + 1 :], CALL[:length]):
        with contextlib.suppress(WireError):
            assert isinstance(p.decode_call(data), p.Call)


@given(
    st.one_of(st.integers(max_value=p.OLDEST - 1), st.integers(min_value=p.VERSION + 1)).filter(
        lambda n: abs(n) < 2**62
    )
)
def test_another_version_is_told_whatever_the_rest_is(version):
    data = msgspec.msgpack.encode([version, 12, {"type": "Future", "unknown": [1, 2]}, "9.1", "more"])
    with pytest.raises(p.OtherVersion, match=f"protocol {version}, this one {p.VERSION}") as caught:
        p.decode_call(data)
    assert (caught.value.number, caught.value.software) == (12, "9.1")


@pytest.mark.parametrize("software", [7, None, ["9.1"]])
def test_a_version_of_another_shape_is_no_version(software):
    data = msgspec.msgpack.encode([p.VERSION + 1, 12, {}, software])
    with pytest.raises(p.OtherVersion) as caught:
        p.decode_call(data)
    assert caught.value.software == ""


def test_a_request_that_is_not_known_is_told_with_its_sender():
    data = msgspec.msgpack.encode([p.VERSION, 12, {"type": "Future"}, "9.1"])
    with pytest.raises(p.NotUnderstood, match="not a message of protocol") as caught:
        p.decode_call(data)
    assert (caught.value.number, caught.value.software) == (12, "9.1")


RECORDED = [
    (int(path.stem.removeprefix("protocol-")), *line.split())
    for path in sorted(Path(__file__).parent.glob("protocol-*.txt"))
    for line in path.read_text().splitlines()
]
VERSIONS = sorted({version for version, *_ in RECORDED})
MAY_BE_IGNORED = {"SubmitJob": {"file"}, "RetryJob": {"file"}}
"""Fields whose loss in a service that does not know them harms nothing."""


def kept(old, new):
    """Whether all that a message had is in another one; more may be."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(key in new and kept(old[key], new[key]) for key in old)
    if isinstance(old, list):
        return isinstance(new, list) and len(old) == len(new) and all(map(kept, old, new))
    return old == new


@pytest.mark.parametrize(("version", "kind", "name", "data"), RECORDED)
def test_messages_of_each_version_are_understood(version, kind, name, data):
    """A change that this notices needs another `OLDEST`."""
    recorded = bytes.fromhex(data)
    message = (p.decode_call if kind == "call" else p.decode_answer)(recorded)
    assert type(message.request if kind == "call" else message.reply).__name__ == name
    old, new = msgspec.msgpack.decode(recorded), msgspec.msgpack.decode(p.encode(message))
    assert kept(old, new[: len(old)])


def recorded_fields(version):
    """The fields of each request that was recorded in a version or before."""
    fields = {}
    for recorded_in, kind, name, data in RECORDED:
        if kind == "call" and recorded_in <= version:
            body = msgspec.msgpack.decode(bytes.fromhex(data))[2]
            fields.setdefault(name, set()).update(body.keys() - {"type"})
    return fields


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("request_type", p.AnyRequest.__args__, ids=lambda kind: kind.__name__)
def test_what_a_version_does_not_know_says_since_when_it_is(version, request_type):
    """A service of that version would ignore the field; a call that uses it must not reach it as its own."""
    name, known = request_type.__name__, recorded_fields(version)
    assert (request_type.since <= version) == (name in known)
    if name in known:
        later = {field.name for field in msgspec.structs.fields(request_type)} - known[name]
        said = {field for field, since in request_type.fields_since.items() if since > version}
        assert later - MAY_BE_IGNORED.get(name, set()) == said


def test_each_version_up_to_now_has_recorded_messages():
    assert list(range(1, p.VERSION + 1)) == VERSIONS


@pytest.mark.parametrize(
    ("request_", "version"),
    [
        (p.GetService(), 1),
        (p.RetryJob(id=1, failed_only=True, file="/a"), 1),
        (p.RetryJob(id=1, keep_finished=True), 2),
        (p.RetryJob(id=1, job={}), 2),
        (p.SubmitJob(job={}, token="t", file="/a", overwrite=True), 1),
        (p.SubmitJob(job={}, token="t", keep_finished=True), 2),
        (p.FindJobs(), 2),
        (p.RemoveJobs(), 2),
    ],
    ids=repr,
)
def test_a_call_is_of_the_oldest_version_that_takes_it_as_it_is_meant(request_, version):
    call = p.Call.of(4, request_)
    assert (call.version, call.number, call.software) == (version, 4, blockmill.__version__)
    assert p.decode_call(p.encode(call)) == call


def test_clients_of_the_first_version_can_read_the_frame_of_an_answer():
    class Answer1(msgspec.Struct, array_like=True):
        version: int
        number: int
        reply: p.AnyReply

    reply = p.Refusal(kind="refused", message="no")
    old = msgspec.msgpack.decode(p.encode(p.Answer.of(4, reply)), type=Answer1)
    assert (old.version, old.number, old.reply) == (1, 4, reply)
