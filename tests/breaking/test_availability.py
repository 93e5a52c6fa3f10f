"""Strangers, large calls, few files, links that move: nobody is kept out, nobody gets what is not theirs."""

import contextlib
import json
import os
import pwd
import socket
import sqlite3
import threading

import msgspec
import numpy as np
import psutil
import pytest
from bare_clients import dealer
from breakage import COMMAND, amount
from people import BEN

import blockmill
from blockmill.shared.errors import BlockmillError, Refused
from blockmill.shared.messages import service as p
from blockmill.shared.system.impersonation import may_act

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
needs_root = pytest.mark.skipif(not may_act(), reason="needs root, to be several people")


# -- strangers -----------------------------------------------------------------------


def serve_by_tcp(bench):
    """A service with a TCP port; the port, and the folder of its keys."""
    service, mine = bench.folder / "service-keys", bench.folder / "my-keys"
    bench.run("keys", "new", "service", "--folder", str(service))
    bench.run("keys", "new", "--folder", str(mine))
    account = pwd.getpwuid(os.getuid()).pw_name
    bench.run("keys", "allow", f"{mine}/client.key", "--account", account, "--folder", str(service))
    bench.environ |= {"BLOCKMILL__TCP__KEYS": str(service), "BLOCKMILL__TCP__LISTEN": "127.0.0.1:0"}
    bench.serve(workers=1)
    connections = psutil.Process(bench.service.pid).net_connections("tcp")
    (port,) = [one.laddr.port for one in connections if one.status == "LISTEN"]
    return port, service


def come_again(port, socks):
    """Open a connection for each that was ended."""
    for place, sock in enumerate(socks):
        sock.setblocking(False)
        try:
            ended = sock.recv(10) == b""
        except BlockingIOError:
            ended = False
        except OSError:
            ended = True
        if ended:
            sock.close()
            socks[place] = socket.create_connection(("127.0.0.1", port), 5)


def test_silent_strangers_at_the_port_keep_nobody_from_the_unix_socket(bench):
    port, _ = serve_by_tcp(bench)
    socks = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(amount("STRANGERS", 700))]
    try:
        for _ in range(20):
            with contextlib.suppress(OSError):
                come_again(port, socks)
            with bench.client(timeout_s=10) as client:
                assert client.service().workers == 1
    finally:
        for sock in socks:
            sock.close()
    bench.end_service()


def test_a_key_that_is_edited_in_place_counts_at_once(bench, monkeypatch):
    port, keys = serve_by_tcp(bench)
    monkeypatch.setenv("BLOCKMILL_KEY", str(bench.folder / "my-keys" / "client.key_secret"))
    monkeypatch.setenv("BLOCKMILL_SERVICE_KEY", str(keys / "service.key"))
    with blockmill.Client(f"tcp://127.0.0.1:{port}", timeout_s=10) as client:
        assert client.service().workers == 1
        (path,) = (keys / "clients").glob("*.key")
        bench.run("keys", "new", "--folder", str(bench.folder / "new-keys"))
        old = (bench.folder / "my-keys" / "client.key").read_text()
        new = (bench.folder / "new-keys" / "client.key").read_text()
        public = [text.split('public-key = "')[1].split('"')[0] for text in (old, new)]
        path.write_text(path.read_text().replace(*public))
        with pytest.raises(Refused, match="revoked"):
            client.jobs()
    bench.end_service()


# -- large calls ----------------------------------------------------------------------


def nested(depth):
    inner = {}
    for _ in range(depth):
        inner = {"a": inner}
    return inner


JOB = {"input": "/a.npy", "output": "/b.npy", "operation": "copy"}
LARGE = {
    "50,000 unknown keys": {f"k{n}": n for n in range(50_000)},
    "2,000 unknown keys": {f"k{n}": n for n in range(2000)},
    "arguments 900 deep": JOB | {"operation": {"python": {"function": "a:b", "args": nested(900)}}},
    "a roi of 200,000 axes": JOB | {"roi": [[0] * 200_000, [1] * 200_000]},
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_job_is_refused_in_few_words(bench, name):
    bench.serve(workers=1)
    call = [p.VERSION, 1, {"type": "SubmitJob", "token": "t", "job": LARGE[name]}]
    with dealer(bench) as sock:
        sock.send(msgspec.msgpack.encode(call))
        assert sock.poll(60_000)
        answer = sock.recv()
    reply = p.decode_answer(answer).reply
    assert isinstance(reply, p.Refusal), reply
    assert reply.kind in ("bad_job", "refused", "protocol")
    assert len(answer) < 20_000
    assert reply.message.count("\n") < 40
    with bench.client() as client:
        assert client.jobs() == []
    assert "Traceback" not in bench.end_service()


def test_bad_calls_fill_no_log(bench):
    bench.serve(workers=1)
    with dealer(bench) as sock:
        for number in range(3000):
            sock.send(msgspec.msgpack.encode([p.VERSION, number, {"type": "Nothing"}]))
            while sock.poll(0):
                sock.recv()
        sock.send(p.encode(p.Call(p.VERSION, 4_000_000_001, p.GetService())))
        assert sock.poll(60_000)
    with bench.client(timeout_s=60) as client:
        assert client.service().workers == 1
    assert len(bench.end_service()) < 50_000


def test_ended_jobs_cost_no_memory_of_the_service(bench):
    bench.volume(shape=(4, 4, 4))
    bench.environ["BLOCKMILL__LIMITS__JOBS_PER_USER"] = "5000"
    bench.serve()
    process = psutil.Process(bench.service.pid)

    def do(client, count, name):
        for n in range(count):
            job = {
                "input": str(bench.folder / "in.npy"),
                "output": f"{bench.folder}/{name}{n}.npy",
                "operation": "copy",
            }
            last = client.submit(job).id
        for number in range(last - count + 1, last + 1):
            assert client.wait(number, timeout_s=200).state == "done"

    with bench.client(timeout_s=60) as client:
        do(client, 300, "a")
        before, count = process.memory_info().rss, amount("ENDED", 1200)
        do(client, count, "b")
        assert process.memory_info().rss - before < (1 << 20) + count * 2048
    bench.end_service()


# -- untrue words ---------------------------------------------------------------------


def test_a_submission_that_was_refused_is_not_said_to_be_cancelled_on_request(bench):
    bench.volume()
    bench.serve(workers=1)
    service, limit = psutil.Process(bench.service.pid), psutil.RLIMIT_FSIZE
    before = service.rlimit(limit)
    service.rlimit(limit, (4096, before[1]))
    job = bench.job("a.yaml", input="in.npy", output="a.npy", operation="copy")
    bench.run("submit", job, code=1)
    service.rlimit(limit, before)
    with bench.client() as client:
        assert [info.reason for info in client.jobs() if "on request" in info.reason] == []
    out, _ = bench.run("ls", "-a")
    assert "on request" not in out
    bench.end_service()


def test_a_journal_that_is_locked_is_not_said_to_be_full(bench):
    bench.volume()
    bench.serve(workers=1)
    job = bench.job("a.yaml", input="in.npy", output="a.npy", operation="copy")
    journal = bench.folder / "state/blockmill/journal.db"
    with contextlib.closing(sqlite3.connect(journal, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        _, err = bench.run("submit", job, code=1)
        database.execute("ROLLBACK")
    assert "locked" in err
    assert "room" not in err
    bench.end_service()


# -- few files ------------------------------------------------------------------------


@pytest.mark.parametrize("files", [40, 24, 16])
def test_a_service_with_too_few_files_does_not_start(bench, files):
    bench.command = ["prlimit", f"--nofile={files}:{files}", *COMMAND]
    code, out, err = bench.end_of("serve", "--workers", "2", timeout_s=50)
    assert code > 0
    assert "Traceback" not in out + err
    assert "files" in err and str(files) in err


# -- folders and functions of a restricted service -------------------------------------


def test_links_that_move_lead_no_job_out_of_the_roots(bench):
    """A link is swapped all the time, so that some jobs find another target than was checked."""
    data, outside = bench.folder / "data", bench.folder / "outside"
    for folder in (data, outside, data / "d"):
        folder.mkdir()
    inside = np.zeros((16, 16, 16), np.uint8)
    np.save(data / "in.npy", inside)
    np.save(outside / "in.npy", inside + 1)
    bench.environ["BLOCKMILL__ACCESS__DATA_ROOTS"] = json.dumps([str(data)])
    bench.serve()
    over, read_outside = threading.Event(), 0
    swapper = threading.Thread(target=swap, args=(over, data, outside))
    swapper.start()
    try:
        with bench.client(timeout_s=60) as client:
            for n in range(amount("RACES", 40)):
                if done(client, data / "swap.npy", data / "o.npy"):
                    read_outside += bool(np.load(data / "o.npy").any())
                done(client, data / "in.npy", data / "folder" / f"o{n}.npy")
    finally:
        over.set()
        swapper.join()
    assert (read_outside, [path.name for path in outside.glob("o*.npy")]) == (0, [])
    bench.end_service()


def swap(over, data, outside):
    """Let `swap.npy` and `folder` lead in and out of the roots in turn."""
    turn = 0
    while not over.is_set():
        for name, targets in (
            ("swap.npy", (data / "in.npy", outside / "in.npy")),
            ("folder", (data / "d", outside)),
        ):
            link = data / f"{name}.new"
            link.symlink_to(targets[turn % 2])
            os.rename(link, data / name)
        turn += 1


def done(client, source, output):
    job = {"input": str(source), "output": str(output), "operation": "copy"}
    with contextlib.suppress(BlockmillError):
        return client.wait(client.submit(job, overwrite=True).id, timeout_s=60).state == "done"
    return False


@needs_root
def test_functions_that_an_allowed_module_only_imports_are_not_called(people):
    (people.code / "json").mkdir()
    with (people.code / "steps.py").open("a") as file:
        file.write("from os import system\nfrom numpy import save\n")
    names = ("steps:system", "steps:save", "json:dumps", "json.tool:main")
    tried = [
        people.job(BEN, user_code=people.code, operation={"python": {"function": name}}) for name in names
    ]
    for name, (kind, state, reason) in zip(names, people.ask(BEN, *tried), strict=True):
        assert kind == "Refused" or (state == "failed" and "defined" in reason), (name, state, reason)


@needs_root
def test_only_an_admin_goes_before_everybody(people):
    (verb, args, options) = people.job(BEN)
    ((kind, _, reason),) = people.ask(BEN, (verb, args, options | {"priority": 1 << 62}))
    assert kind == "Refused", kind
    assert "priority" in reason
    ((kind, state, _),) = people.ask(BEN, (verb, args, options | {"priority": -1}))
    assert (kind, state) == ("ok", "done")
