import contextlib
from pathlib import Path

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

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
    st.one_of(st.integers(max_value=p.VERSION - 1), st.integers(min_value=p.VERSION + 1)).filter(
        lambda n: abs(n) < 2**62
    )
)
def test_another_version_is_told_whatever_the_rest_is(version):
    data = msgspec.msgpack.encode([version, 12, {"type": "Future", "unknown": [1, 2]}])
    with pytest.raises(p.OtherVersion, match=f"protocol {version}, this one {p.VERSION}") as caught:
        p.decode_call(data)
    assert caught.value.number == 12


RECORDED = [
    (int(path.stem.removeprefix("protocol-")), *line.split())
    for path in sorted(Path(__file__).parent.glob("protocol-*.txt"))
    for line in path.read_text().splitlines()
]


def kept(old, new):
    """Whether all that a message had is in another one; more may be."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(key in new and kept(old[key], new[key]) for key in old)
    if isinstance(old, list):
        return isinstance(new, list) and len(old) == len(new) and all(map(kept, old, new))
    return old == new


@pytest.mark.parametrize(("version", "kind", "name", "data"), RECORDED)
def test_messages_of_each_version_are_understood_or_told_apart(version, kind, name, data):
    """A change that this notices needs another `VERSION`, and a file of its messages beside the old ones."""
    recorded = bytes.fromhex(data)
    decode = p.decode_call if kind == "call" else p.decode_answer
    if version != p.VERSION:
        with pytest.raises(p.OtherVersion):
            decode(recorded)
        return
    message = decode(recorded)
    assert type(message.request if kind == "call" else message.reply).__name__ == name
    assert kept(msgspec.msgpack.decode(recorded), msgspec.msgpack.decode(p.encode(message)))


def test_this_version_has_recorded_messages():
    assert {version for version, *_ in RECORDED} == set(range(1, p.VERSION + 1))
