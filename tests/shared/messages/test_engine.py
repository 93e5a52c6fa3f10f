import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.shared.errors import WireError
from blockmill.shared.messages import engine as wire

DECODERS = [
    wire.decode_to_worker,
    wire.decode_from_worker,
    wire.decode_to_nursery,
    wire.decode_from_nursery,
]
TASK = wire.Task("j1", 3, 1, (0, 0), (4, 4), wire.Slot(1, 4096, 16))
MESSAGES = [
    (wire.decode_to_worker, wire.MapSegment(1, "/proc/1/fd/3", 4096)),
    (
        wire.decode_to_worker,
        wire.Prepare("j1", wire.Recipe(sources=(wire.Source("a.npy"),), operation={"copy": {}})),
    ),
    (
        wire.decode_to_worker,
        wire.Prepare(
            "j1", wire.Recipe(sources=(wire.Source(wire.SharedArray("/proc/1/fd/3", (2, 3), "<u2", "yx")),))
        ),
    ),
    (wire.decode_to_worker, wire.Run([TASK])),
    (wire.decode_to_worker, wire.Forget("j1", [1, 2])),
    (wire.decode_from_worker, wire.Hello(3, 4711)),
    (
        wire.decode_from_worker,
        wire.TaskReplies(2, [wire.TaskDone("j1", 3, 1, 0.5, 100, 50), wire.TaskFailed("j1", 4, 1, "why")]),
    ),
    (wire.decode_from_worker, wire.Heartbeat(3, 1 << 33)),
    (wire.decode_to_nursery, wire.Spawn(3, "ipc:///tmp/x", "/tmp/log", "/proc/1/fd/4")),
    (wire.decode_to_nursery, wire.SendSignal(3, 15)),
    (wire.decode_from_nursery, wire.Spawned(3, 4711)),
    (wire.decode_from_nursery, wire.Exited(3, 4711, -9, 1 << 30)),
]


@pytest.mark.parametrize(("decode", "message"), MESSAGES, ids=lambda v: type(v).__name__)
def test_a_message_comes_back_as_it_was(decode, message):
    assert decode(wire.encode(message)) == message


@pytest.mark.parametrize("decode", DECODERS)
@given(data=st.binary(max_size=200))
def test_any_bytes_give_a_message_or_a_wire_error(decode, data):
    try:
        assert isinstance(decode(data), wire.Message)
    except WireError as error:
        assert str(wire.VERSION) in str(error)


@given(message=st.sampled_from(MESSAGES), cut=st.integers(0, 200), flip=st.integers(0, 255), data=st.data())
def test_damaged_messages_give_a_message_or_a_wire_error(message, cut, flip, data):
    decode, good = message
    damaged = bytearray(wire.encode(good)[: cut or None])
    if damaged:
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= flip
    with contextlib.suppress(WireError):
        assert isinstance(decode(bytes(damaged)), wire.Message)


def test_deep_nesting_is_refused():
    with pytest.raises(WireError):
        wire.decode_to_worker(b"\x91" * 100_000)
