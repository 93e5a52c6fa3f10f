"""All sorts of nonsense at the live sockets of a service that runs a job meanwhile."""

import contextlib
import os
import pwd
import socket
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import msgspec
import numpy as np
import psutil
import pytest
import zmq
from hypothesis import given, settings

import blockmill
from blockmill.daemon.service.clients.memory_guard import ALLOWED_BYTES
from blockmill.shared.messages import service as p

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_READY = b"\x05READY\x0bSocket-Type" + (6).to_bytes(4, "big") + b"DEALER\x08Identity" + bytes(4)
READY = bytes([4, len(_READY)]) + _READY
MORE, LAST, LARGE, COMMAND = 1, 0, 2, 4
CALL = p.encode(p.Call(p.VERSION, 7, p.WaitJob(id=1, seen=-1)))
FEW = settings(max_examples=80, deadline=None, derandomize=True, database=None)

objects = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
requests = st.sampled_from([kind.__name__ for kind in p.AnyRequest.__args__ if kind.__name__ != "Drain"])
fields = st.sampled_from(
    ["id", "ids", "job", "token", "seen", "wait_s", "limit", "offset", "after", "states"]
)
nearly_calls = st.builds(
    lambda version, number, name, rest: msgspec.msgpack.encode([version, number, {**rest, "type": name}]),
    st.sampled_from([p.VERSION, p.VERSION, p.VERSION, 0, -1, p.VERSION + 1]),
    st.integers(-(2**63), 2**64 - 1),
    requests.filter(lambda name: name not in ("PauseJobs", "SetWorkers", "CancelJob", "RetryJob"))
    | st.text(),
    st.dictionaries(fields, objects, max_size=4),
)
cut = st.builds(lambda at: CALL[:at], st.integers(0, len(CALL)))
bent = st.builds(
    lambda at, byte: CALL[:at] + bytes([byte]) + CALL[at + 1 :],
    st.integers(0, len(CALL) - 1),
    st.integers(0, 255),
)
frames = st.binary(max_size=300) | nearly_calls | cut | bent


@pytest.fixture
def at_work(bench):
    """A service with a job that is half done; called, it ends both and gives what was said."""
    voxels = bench.volume()
    bench.serve()
    number = bench.submit_half_done()

    def ends():
        assert bench.service.poll() is None
        bench.open_gate()
        with bench.client() as client:
            info = client.wait(number, timeout_s=60)
        assert (info.state, info.runs, info.done, info.redone, info.retries) == ("done", 1, 4, 0, 0)
        np.testing.assert_array_equal(bench.read(), voxels)
        return bench.end_service()

    return ends


def raw(bench):
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(str(bench.socket))
    except OSError:
        sock.close()
        assert bench.service.poll() is None, bench.service.communicate()
        raise
    sock.settimeout(30)
    return sock


def greeted(bench):
    """A connection past its handshake: what is sent sooner than it is over would end it."""
    sock = raw(bench)
    sock.sendall(GREETING + READY)
    heard = b""
    while b"READY" not in heard:
        heard += sock.recv(4096)
    return sock


def frame(flags, data):
    if len(data) < 256:
        return bytes([flags, len(data)]) + data
    return bytes([flags | LARGE]) + len(data).to_bytes(8, "big") + data


def send_all(sock, data):
    """Whether the other side has taken it all; it may end the connection."""
    try:
        sock.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


@contextlib.contextmanager
def dealer(bench):
    with zmq.Context() as context, context.socket(zmq.DEALER) as sock:
        sock.linger = 0
        sock.connect(f"ipc://{bench.socket}")
        yield sock


def test_calls_that_are_none_are_refused_and_others_are_answered(bench, at_work):
    with dealer(bench) as sock, bench.client() as other:

        @FEW
        @given(st.lists(frames, min_size=1, max_size=3))
        def throw(parts):
            sock.send_multipart(parts)
            sock.send(p.encode(p.Call(p.VERSION, 4_000_000_001, p.GetService())))
            while True:  # each call gets its answer, or is held; this one is answered at once
                assert sock.poll(30_000), "the service has fallen silent"
                answer = p.decode_answer(sock.recv())
                if answer.number == 4_000_000_001:
                    return
                if len(parts) > 1:
                    assert answer.reply.kind == "protocol"

        throw()
        for data in (
            b"\x91" * 100_000,  # lists in lists, each of one
            msgspec.msgpack.encode([p.VERSION, 1]) + b"\x81\xa1a" * 100_000,
            b"\x93\x01\x01\x83\xa4type\xa9SubmitJob\xa5token\xa1t\xa3job" + b"\x81\xa1a" * 50_000 + b"\xc0",
            b"\xdd\xff\xff\xff\xff" + b"\xdf\xff\xff\xff\xff" * 3,  # four billion elements are promised
        ):
            sock.send(data)
            assert sock.poll(30_000)
            assert p.decode_answer(sock.recv()).reply.kind == "protocol"
        replayed = p.encode(p.Call(p.VERSION, 5, p.GetJob(id=1)))
        for _ in range(500):
            sock.send(replayed)
        assert {p.decode_answer(sock.recv()).number for _ in range(100)} == {5}
        assert other.service().jobs == 1
    assert "nonsense from a client: not a message of protocol" in at_work()


def test_garbage_on_the_bare_socket_hurts_nobody(bench, at_work):
    with bench.client() as other, contextlib.ExitStack() as stack:

        @settings(FEW, max_examples=150)
        @given(
            st.sampled_from([b"", GREETING[:10], GREETING[:40], GREETING, GREETING + READY]),
            st.binary(max_size=200) | st.builds(frame, st.integers(0, 255), frames),
        )
        def throw(before, after):
            with raw(bench) as sock:
                send_all(sock, before + after)

        throw()
        for data in (b"", GREETING[:20], GREETING, GREETING + READY):  # and then silence
            for _ in range(10):
                send_all(stack.enter_context(raw(bench)), data)
        for data in (b"\1", frame(MORE, b"a"), frame(LAST, CALL)[:-1], bytes([LARGE])):
            for _ in range(10):
                send_all(stack.enter_context(greeted(bench)), data)

        @settings(FEW, max_examples=100)
        @given(st.lists(st.builds(frame, st.integers(0, 7), frames) | st.binary(max_size=50), max_size=4))
        def throw_later(parts):
            with greeted(bench) as sock:
                send_all(sock, b"".join(parts))

        throw_later()
        assert other.service().jobs == 1
        for _ in range(2000):
            raw(bench).close()
        assert other.service().jobs == 1
        huge = stack.enter_context(greeted(bench))
        too_long = bytes([LARGE]) + (1 << 40).to_bytes(8, "big") + bytes(1 << 22)
        assert not send_all(huge, too_long)
    at_work()


def test_who_never_reads_his_answers_costs_little_and_nobody_waits_for_him(bench, at_work):
    call = frame(LAST, p.encode(p.Call(p.VERSION, 1, p.ListJobs())))
    before = psutil.Process(bench.service.pid).memory_info().rss
    with contextlib.ExitStack() as stack, bench.client() as other:
        for _ in range(4):
            assert send_all(stack.enter_context(greeted(bench)), call * 5000)
        for _ in range(20):
            assert other.service().jobs == 1
        assert psutil.Process(bench.service.pid).memory_info().rss - before < 100 << 20
    at_work()


def test_a_message_without_end_is_cut_off_and_the_memory_comes_back(bench, at_work, wait_until):
    process = psutil.Process(bench.service.pid)
    before = process.memory_info().rss
    chunk = frame(MORE, bytes(100_000)) * 10
    with greeted(bench) as sock:
        sent = 0
        while send_all(sock, chunk):
            sent += len(chunk)
            assert sent < 16 * ALLOWED_BYTES, "nobody has stopped it"
    assert sent > ALLOWED_BYTES / 2
    wait_until(lambda: process.memory_info().rss - before < ALLOWED_BYTES / 2, "the memory")
    with bench.client(timeout_s=30) as client:
        assert client.service().jobs == 1
    assert "the connections of all" in at_work()


def test_one_client_cannot_take_all_places_of_those_who_wait(bench, at_work):
    with dealer(bench) as sock:
        waiting = p.encode(p.Call(p.VERSION, 1, p.ReadLog(id=1, offset=1 << 40, wait_s=30.0)))
        for _ in range(101):
            sock.send(waiting)
        while True:
            assert sock.poll(30_000)
            reply = p.decode_answer(sock.recv()).reply
            if isinstance(reply, p.Refusal):
                break
    assert "too many of your calls wait" in reply.message
    with bench.client() as client:
        assert client.service().jobs == 1
    at_work()


def test_garbage_at_the_port_of_the_network_keeps_no_key_holder_waiting(bench, monkeypatch):
    with tempfile.TemporaryDirectory(prefix="bm-keys-") as folder:
        service, mine = Path(folder, "service"), Path(folder, "mine")
        bench.run("keys", "new", "service", "--folder", str(service))
        bench.run("keys", "new", "--folder", str(mine))
        account = pwd.getpwuid(os.getuid()).pw_name
        allow = ("keys", "allow", str(mine / "client.key"), "--account", account, "--folder", str(service))
        bench.run(*allow)
        bench.environ |= {"BLOCKMILL__TCP__KEYS": str(service), "BLOCKMILL__TCP__LISTEN": "127.0.0.1:0"}
        bench.serve(workers=1)
        connections = psutil.Process(bench.service.pid).net_connections("tcp")
        (port,) = [one.laddr.port for one in connections if one.status == "LISTEN"]
        monkeypatch.setenv("BLOCKMILL_KEY", str(mine / "client.key_secret"))
        monkeypatch.setenv("BLOCKMILL_SERVICE_KEY", str(service / "service.key"))
        curve = GREETING.replace(b"NULL\0", b"CURVE")
        with blockmill.Client(f"tcp://127.0.0.1:{port}", timeout_s=30) as remote:
            assert remote.service().workers == 1

            @settings(FEW, max_examples=100)
            @given(
                st.sampled_from([b"", GREETING[:40], GREETING + READY, curve[:12], curve, curve + READY]),
                st.binary(max_size=300) | st.builds(frame, st.integers(0, 255), frames),
            )
            def throw(before, after):
                with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
                    send_all(sock, before + after)

            throw()
            assert remote.service().workers == 1
        bench.end_service()
