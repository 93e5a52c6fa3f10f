"""Odd calls by the thousand, forged identities, replays, floods, and messages that nobody reads or ends."""

import contextlib
import os
import random
import socket
import threading

import msgspec
import numpy as np
import psutil
import pytest
from bare_clients import GREETING, LARGE, LAST, READY, dealer, frame, greeted, raw, send_all
from breakage import amount

from blockmill.shared.messages import service as p

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
ODD = (
    0, -1, 1, 2**63 - 1, -(2**63), 2**64 - 1, 1.5, float("nan"), float("inf"), None, True, "", "x" * 1000,
    b"\xff", [], {}, [1, 2], {"a": {"b": 1}}, "done", ["done"],
)  # fmt: skip
KEYS = (
    "id", "job", "token", "priority", "label", "after", "overwrite", "states", "limit", "seen", "wait_s",
    "offset", "now", "failed_only", "ids", "keep_finished",
)  # fmt: skip
CONCERN_ALL = ("Drain", "PauseJobs", "ResumeJobs", "SetWorkers")
REQUESTS = [kind.__name__ for kind in p.AnyRequest.__args__ if kind.__name__ not in CONCERN_ALL]
WAITS = (0, -1, float("nan"), 0.01)


@pytest.fixture
def served(bench):
    """A service; in the end it must still do a job, and have said nothing of defects."""
    voxels = bench.volume()
    bench.serve()
    yield bench
    bench.run("submit", "--wait", bench.job("z.yaml", input="in.npy", output="z.npy", operation="copy"))
    np.testing.assert_array_equal(np.load(bench.folder / "z.npy"), voxels)
    err = bench.end_service()
    assert "Traceback" not in err
    assert "defect of blockmill" not in err


def answers(bench):
    with bench.client(timeout_s=30) as client:
        return client.service().jobs >= 0


def odd_call(rng, number):
    body = {"type": rng.choice(REQUESTS)}
    body |= {key: rng.choice(ODD) for key in rng.sample(KEYS, rng.randrange(8))}
    if "wait_s" in body:
        body["wait_s"] = rng.choice(WAITS)
    whole = [p.VERSION, number, body]
    return rng.choice([whole] * 8 + [whole[:2], [99, *whole[1:]], body, [1, "x", body], [1, 2**64 - 1, body]])


def test_thousands_of_odd_calls_are_answered_and_none_is_a_defect(served):
    rng, seen = random.Random(7), 0
    with dealer(served) as sock:
        for number in range(amount("CALLS", 6000)):
            sock.send(msgspec.msgpack.encode(odd_call(rng, number)))
            while sock.poll(0):
                seen += 1
                assert b"defect of blockmill" not in sock.recv()
        sock.send(p.encode(p.Call(p.VERSION, 4_000_000_001, p.GetService())))
        while p.decode_answer(sock.recv()).number != 4_000_000_001:
            seen += 1
    assert seen > amount("CALLS", 6000) / 2


def test_forged_words_about_who_one_is_are_not_believed(served):
    def words(name, value):
        return bytes([len(name)]) + name + len(value).to_bytes(4, "big") + value

    body = READY[2:] + words(b"Peer-Address", b":4242:4242:1") + words(b"User-Id", b"nobody")
    call = p.SubmitJob(
        job={
            "input": str(served.folder / "in.npy"),
            "output": str(served.folder / "forged.npy"),
            "operation": "copy",
        },
        token="forged",
    )
    with raw(served) as sock:
        sock.sendall(GREETING + bytes([4, len(body)]) + body)
        heard = b""
        while b"READY" not in heard:
            heard += sock.recv(4096)
        sock.sendall(frame(LAST, p.encode(p.Call(p.VERSION, 1, call))))
        while b"forged" not in sock.recv(1 << 16):
            pass
    with served.client() as client:
        assert [(info.owner, info.output) for info in client.jobs()] == [
            (os.getuid(), str(served.folder / "forged.npy"))
        ]


def test_one_submission_sent_a_thousand_times_is_one_job(served):
    job = {
        "input": str(served.folder / "in.npy"),
        "output": str(served.folder / "r.npy"),
        "operation": "copy",
    }
    call = p.encode(p.Call(p.VERSION, 5, p.SubmitJob(job=job, token="replayed")))
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(dealer(served)) for _ in range(8)]
        for _ in range(200):
            for sock in socks:
                sock.send(call)
        numbers = set()
        for sock in socks:
            assert sock.poll(30_000)
            numbers.add(p.decode_answer(sock.recv()).reply.job.id)
    assert numbers == {1}
    served.end_service()
    served.serve()
    with served.client() as client:
        assert [info.id for info in client.jobs()] == [1]


def test_thousands_of_connections_come_and_go(served):
    def connected(opened):
        try:
            return [stack.enter_context(opened(served)) for _ in range(amount("CONNECTIONS", 400))]
        except (BlockingIOError, ConnectionResetError, TimeoutError):
            return []

    for opened in (greeted, raw):
        with contextlib.ExitStack() as stack:
            connected(opened)
        assert answers(served)


def test_half_messages_keep_nobody_waiting(served):
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            half = bytes([LARGE]) + (1 << 20).to_bytes(8, "big") + b"x" * 10
            send_all(stack.enter_context(greeted(served)), half)
        assert answers(served)


def test_clients_that_never_read_keep_nobody_waiting(served):
    call = frame(LAST, p.encode(p.Call(p.VERSION, 1, p.ListJobs(limit=100))))
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            sock = stack.enter_context(greeted(served))
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError, socket.timeout):
                for _ in range(5000):
                    sock.send(call)
        before = psutil.Process(served.service.pid).memory_info().rss
        assert answers(served)
        assert psutil.Process(served.service.pid).memory_info().rss - before < 100 << 20


def test_clients_that_never_stop_calling_keep_no_job_waiting(served):
    over, call = threading.Event(), p.encode(p.Call(p.VERSION, 1, p.GetService()))

    def flood():
        with dealer(served) as sock:
            while not over.is_set():
                sock.send(call)
                while sock.poll(0):
                    sock.recv()

    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        assert answers(served)
        job = served.job("f.yaml", input="in.npy", output="f.npy", operation="copy")
        served.run("submit", "--wait", job)
    finally:
        over.set()
        for thread in threads:
            thread.join()
