"""Answers of short blocks go together; none waits for a long block."""

import threading

import pytest

from blockmill.shared.messages import engine as wire
from blockmill.workers.reply_batch import ReplyBatch


class Wires:
    """Takes what is sent."""

    def __init__(self):
        self.messages = []
        self.came = threading.Event()

    def send(self, data):
        self.messages.append([a.block for a in wire.decode_from_worker(data).replies])
        self.came.set()


@pytest.fixture
def wires():
    return Wires()


@pytest.fixture(autouse=True)
def _a_clock_that_stands(monkeypatch):
    monkeypatch.setattr("blockmill.workers.reply_batch._MAX_WAIT_S", 1e9)


def done(block, seconds=0.0):
    return wire.TaskDone("j", block, 1, seconds)


def test_answers_of_short_blocks_go_several_at_a_time_while_there_is_more_to_do(wires):
    replies = ReplyBatch(1)
    for block in range(20):
        replies.add(done(block), wires.send, may_wait=block < 19)
    assert [len(message) for message in wires.messages] == [16, 4]
    assert [block for message in wires.messages for block in message] == list(range(20))


@pytest.mark.parametrize(
    ("reply", "may_wait"),
    [(done(2), False), (done(2, 0.01), True), (wire.TaskFailed("j", 2, 1, "why"), True)],
    ids=["the last one", "a long one", "a failure"],
)
def test_what_must_not_wait_goes_at_once_with_what_waits(wires, reply, may_wait):
    replies = ReplyBatch(1)
    replies.add(done(1), wires.send, may_wait=True)
    assert not wires.messages
    replies.add(reply, wires.send, may_wait=may_wait)
    assert wires.messages == [[1, 2]]


def test_what_waits_is_sent_by_another_thread_where_the_next_block_is_a_long_one(wires, monkeypatch):
    monkeypatch.setattr("blockmill.workers.reply_batch._MAX_WAIT_S", 0.0)
    replies, other = ReplyBatch(1), Wires()
    watcher = threading.Thread(
        target=lambda: [None for _ in iter(lambda: replies.watch(other.send, 60), False)]
    )
    watcher.start()
    replies._waiting, replies._since_s = [done(1)], 0.0
    replies._filled.set()
    assert other.came.wait(30)
    replies.end()
    watcher.join(30)
    assert not watcher.is_alive()
    assert other.messages == [[1]]
    replies.flush(wires.send)
    assert not wires.messages
