"""Clients of the service: from asyncio, from the shell, broken ones, and services that are broken."""

import asyncio
import json
import subprocess
import sys
import threading
import warnings

import msgspec
import numpy as np
import pytest
import zmq
from click.testing import CliRunner

from blockmill import AsyncClient, Client
from blockmill.client.cli.main import cli
from blockmill.client.service import exchange
from blockmill.shared.errors import JobError, NoSuchJob, Refused, ServiceUnreachable, WaitTimeout
from blockmill.shared.messages import service as p
from blockmill.shared.messages.records import JobInfo
from blockmill.shared.version import __version__


def copy_job(bench, name="copy", **fields):
    return bench.job(f"{name}.yaml", input="in.npy", output=f"{name}.npy", operation="copy", **fields)


def test_the_same_from_asyncio(bench):
    bench.volume()
    bench.serve()

    async def steps():
        async with AsyncClient(bench.socket) as client:
            job = await client.submit(bench.folder / bench.gated_job(), label="mine", priority=3)
            states = [job.state]
            watching = asyncio.create_task(collect(client.watch(job.id)))
            while len(bench.begun()) < 2:
                await asyncio.sleep(0.01)
            assert [one.id for one in await client.jobs("running", label="mine")] == [job.id]
            assert len(await client.workers()) == 2
            assert (await client.spec(job.id)).name == "job"
            assert (await client.set_priority(job.id, 4)).priority == 4
            assert (await client.pause(job.id))[0].paused
            assert not (await client.resume(job.id))[0].paused
            with pytest.raises(WaitTimeout):
                await client.wait(job.id, timeout_s=0.0)
            bench.open_gate()
            ended = await client.wait(job.id)
            states += [info.state for info in await watching]
            lines = [line.text for line in await collect(client.logs(job.id, follow=True))]
            assert (ended.state, states[-1], lines[-1]) == ("done", "done", "done")
            assert await client.failures(job.id) == []
            with pytest.raises(Refused):
                await client.cancel(job.id)
            with pytest.raises(Refused):
                await client.retry(job.id)
            with pytest.raises(NoSuchJob):
                await client.job(77)
            assert (await client.drain(wait=True)).draining
            await client.resume()
            assert not (await client.service()).draining
            assert (await client.set_workers(1)).workers == 1

    async def collect(iterator):
        return [item async for item in iterator]

    asyncio.run(steps())
    bench.end_service()


def test_every_verb_that_reads_gives_json_and_nothing_else(bench):
    bench.volume()
    bench.serve()
    bench.run("submit", "--wait", "--json", copy_job(bench, label="nightly"))
    for args, key in (
        (("ls",), "jobs"),
        (("ls", "--state", "done", "--label", "nightly"), "jobs"),
        (("status",), "service"),
        (("status", "1"), "jobs"),
        (("logs", "1"), "lines"),
        (("workers",), "workers"),
        (("top",), "workers"),
        (("wait", "1"), "jobs"),
        (("drain",), "service"),
        (("resume", "--all"), "jobs"),
        (("workers", "set", "1"), "service"),
    ):
        out, _ = bench.run(*args, "--json")
        document = json.loads(out)
        assert document["schema"] == 1
        assert key in document, args
    assert json.loads(bench.run("version", "--json")[0])["service"]
    for args in (("ls", "--jsonl"), ("logs", "1", "--jsonl"), ("watch", "1", "--jsonl")):
        assert all(json.loads(line)["schema"] == 1 for line in bench.run(*args)[0].splitlines())
    bench.end_service()


def test_a_verb_that_waits_gives_one_document_too(bench):
    bench.volume()
    bench.serve()
    for args in (
        ("submit", "--wait", "--json", copy_job(bench, "a")),
        ("submit", "--follow", "--json", copy_job(bench, "b"), copy_job(bench, "c")),
        ("wait", "1", "2", "3", "--json"),
        ("watch", "1", "--json"),
        ("status", "1", "--jsonl"),
    ):
        out, _ = bench.run(*args)
        document = json.loads(out)
        ended = document.get("jobs") or [document["job"]]
        assert {info["state"] for info in ended} == {"done"}, args
    assert bench.run("submit", "--follow", "--id-only", copy_job(bench, "d"))[0] == "4\n"
    for args in (
        ("submit", "--dry-run", copy_job(bench, "e")),
        ("run", copy_job(bench, "f")),
        ("volume", "info", "f.npy"),
        ("volume", "verify", "f.npy"),
    ):
        assert json.loads(bench.run(*args, "--json")[0])["schema"] == 1, args
    bench.end_service()


def test_what_was_accepted_before_a_refusal_is_told(bench):
    bench.volume()
    bench.serve()
    bench.run("pause", "--all")
    out, err = bench.run("submit", "--json", "--wait", copy_job(bench, "a"), copy_job(bench, "a"), code=6)
    assert [info["id"] for info in json.loads(out)["jobs"]] == [1]
    assert "job 1" in err
    bench.end_service()


def test_a_log_that_comes_faster_than_it_is_asked_for_is_followed_to_its_end(bench):
    bench.volume()
    bench.serve()
    job = bench.steps_job("steps:chatty", {"lines": 20_000}, rows=40)
    _, err = bench.run("submit", "--follow", job)
    assert sum("word" in line for line in err.splitlines()) == 20_000
    bench.end_service()


def test_a_watched_status_is_shown_again_and_again(bench):
    bench.serve()
    for args in (("ls", "--watch", "--json"), ("status", "--watch", "--json"), ("top", "--jsonl")):
        watching = bench.start(*args)
        for _ in range(2):
            assert json.loads(watching.stdout.readline())["schema"] == 1
        watching.kill()
        watching.communicate()
    bench.end_service()


def test_jobs_that_are_waited_for_share_the_time(tmp_path):
    waits = []

    def answer(call):
        info = JobInfo(id=call.request.id, name="n", owner=0, output="o", submitted_s=0.0, state="queued")
        if isinstance(call.request, p.WaitJob):
            waits.append((call.request.id, call.request.wait_s))
            if call.request.id == 1:
                info = msgspec.structs.replace(info, state="done")
                threading.Event().wait(0.5)
        return [p.encode(p.Answer(p.VERSION, call.number, p.OneJob(job=info)))]

    with Fake(tmp_path / "s", answer):
        done = CliRunner().invoke(
            cli, ["wait", "1", "2", "--timeout", "0.4", "--socket", str(tmp_path / "s")]
        )
    assert done.exit_code == 7
    assert "job 2 is queued after 0.4 s" in done.stderr
    assert dict(waits)[2] == 0.0  # the first one has used all of it


def test_what_people_read_is_plain_off_a_terminal_and_told_once(bench):
    bench.volume()
    bench.serve()
    assert bench.run("submit", "--id-only", copy_job(bench))[0] == "1\n"
    bench.run("watch", "1")
    for args in (("ls",), ("status",), ("status", "1"), ("workers",), ("top",), ("logs", "1"), ("version",)):
        out, err = bench.run(*args)
        assert out.strip(), args
        assert "\x1b" not in out + err
    assert "\x1b" in bench.run("ls", "--color", "always")[0]
    assert bench.run("submit", "--follow", copy_job(bench, "b"))[0].endswith("b.npy\n")
    bench.end_service()


def test_exit_codes(bench, wait_until):
    bench.volume()
    bench.serve()
    for code, *args in (
        (3, "status", "9"),
        (3, "logs", "9"),
        (3, "cancel", "9"),
        (3, "watch", "9"),
        (2, "pause"),
        (2, "pause", "--all", "1"),
        (2, "nonsense"),
        (5, "submit", "none.yaml"),
        (5, "submit", bench.job("bad.yaml", input="in.npy", output="x.npy", operation="copi")),
        (5, "submit", bench.job("gone.yaml", input="gone.npy", output="x.npy", operation="copy")),
        (5, "logs", "1", "--block", "a,b"),
        (6, "submit", copy_job(bench), "--after", "nobody"),
    ):
        _, err = bench.run(*args, code=code)
        assert err.strip(), args
    bench.run("submit", bench.gated_job())
    wait_until(lambda: bench.begun(), "a block at work")
    bench.run("wait", "1", "--timeout", "0", code=7)
    bench.run("cancel", "1")
    bench.run("watch", "1", code=1)
    bench.run("cancel", "1", code=6)
    bench.run("submit", "--wait", copy_job(bench, "one"), copy_job(bench, "two"))
    bench.end_service()


def test_nonsense_on_the_socket_is_refused_and_hurts_nobody(bench):
    bench.serve()
    with zmq.Context() as context, context.socket(zmq.DEALER) as sock:
        sock.linger = 0
        sock.connect(f"ipc://{bench.socket}")
        for frames in (
            [b""],
            [b"\xc1" * 50],
            [b"a", b"b", b"c"],
            [msgspec.msgpack.encode([p.VERSION, 5, {}])],
        ):
            sock.send_multipart(frames)
            assert sock.poll(30_000)
            assert p.decode_answer(sock.recv()).reply.kind == "protocol"
        sock.send(msgspec.msgpack.encode([p.VERSION + 1, 6, "whatever"]))
        assert sock.poll(30_000)
        answer = p.decode_answer(sock.recv())
        assert (answer.number, answer.reply.kind) == (6, "protocol")
        assert "update the older one" in answer.reply.message
        for software, advice in (("99.1", "start the service again"), ("0.1.7", "upgrade the client")):
            for number, version in ((7, p.VERSION + 1), (0, p.VERSION)):
                sock.send(msgspec.msgpack.encode([version, 7, {"type": "Future"}, software]))
                assert sock.poll(30_000)
                answer = p.decode_answer(sock.recv())
                assert (answer.number, answer.reply.kind) == (number, "protocol")
                assert all(text in answer.reply.message for text in (software, __version__, advice))
    with bench.client() as client:
        assert client.service().workers == 2
        with pytest.raises(JobError):
            client.ask(p.SubmitJob(job={"input": 3}, token="t"))
    bench.end_service()


def test_a_submission_that_is_sent_again_counts_once(bench):
    bench.volume()
    bench.serve()
    with bench.client() as client:
        bench.run("pause", "--all")
        job = {
            "input": str(bench.folder / "in.npy"),
            "output": str(bench.folder / "o.npy"),
            "operation": "copy",
        }
        request = p.SubmitJob(job=job, token="the same")
        first, second = client.ask(request).job, client.ask(request).job
        assert first.id == second.id
        assert len(client.jobs()) == 1
    bench.end_service()


class Fake:
    """A service that answers as a test says: by a function of the call, None for silence."""

    def __init__(self, path, answer):
        self.path, self.answer, self.calls = path, answer, []
        self._ready, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *exc_info):
        self._stop.set()
        self._thread.join()

    def _serve(self):
        with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
            router.linger = 0
            router.bind(f"ipc://{self.path}")
            self._ready.set()
            while not self._stop.is_set():
                if router.poll(10):
                    sender, data = router.recv_multipart()
                    self.calls.append(data)
                    for reply in self.answer(p.decode_call(data)):
                        router.send_multipart([sender, reply])


SERVICE = p.ServiceInfo(
    version="9",
    pid=1,
    workers=2,
    allowed=2,
    started_s=0.0,
    draining=False,
    quiet=True,
    jobs=0,
    state_dir="/s",
)


def test_an_answer_to_an_earlier_call_is_passed_over(tmp_path):
    def answer(call):
        old = p.Answer.of(call.number - 1, p.Jobs(jobs=()))
        return [p.encode(old), p.encode(p.Answer.of(call.number, SERVICE))]

    with Fake(tmp_path / "s", answer), Client(tmp_path / "s") as client:
        assert client.service() == SERVICE
        assert client.service() == SERVICE


def test_a_service_that_was_started_again_is_asked_again_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(exchange, "_RESEND_S", 3600.0)
    ended = JobInfo(id=1, name="n", owner=0, output="o", submitted_s=0.0, state="done")
    reply = p.OneJob(job=ended)
    asked, found = threading.Event(), []

    def silence(call):
        asked.set()
        return []

    with Client(tmp_path / "s", timeout_s=60.0) as client:
        with Fake(tmp_path / "s", silence):
            waiting = threading.Thread(target=lambda: found.append(client.wait(1)))
            waiting.start()
            assert asked.wait(30)
        with Fake(tmp_path / "s", lambda call: [p.encode(p.Answer(p.VERSION, call.number, reply))]):
            waiting.join(30)
    assert found == [ended]


def test_a_service_that_says_nothing_is_told_from_none(tmp_path):
    silence = Fake(tmp_path / "s", lambda call: [])
    with silence, Client(tmp_path / "s", timeout_s=0.3) as client, pytest.raises(ServiceUnreachable) as told:
        client.service()
    assert "has not answered within 0.3 s" in str(told.value)
    with Client(tmp_path / "none") as client, pytest.raises(ServiceUnreachable, match="blockmill serve"):
        client.service()


VERBS = (
    ["submit", "job.yaml"],
    ["ls"],
    ["status", "1"],
    ["watch", "1"],
    ["wait", "1"],
    ["logs", "1"],
    ["cancel", "1"],
    ["retry", "1"],
    ["pause", "1"],
    ["resume", "--all"],
    ["drain"],
    ["workers"],
    ["workers", "set", "2"],
    ["priority", "1", "3"],
    ["top"],
)


@pytest.mark.parametrize(
    ("version", "advice"),
    [(p.VERSION + 1, "this client is"), (p.OLDEST - 1, "start it again, its jobs go on")],
)
def test_every_verb_tells_a_service_of_another_version(tmp_path, monkeypatch, version, advice):
    def answer(call):
        return [msgspec.msgpack.encode([version, call.number, {"type": "News"}])]

    np.save(tmp_path / "in.npy", np.zeros((4, 4), np.uint8))
    (tmp_path / "job.yaml").write_text("{input: in.npy, output: out.npy, operation: copy}")
    monkeypatch.chdir(tmp_path)
    with Fake(tmp_path / "s", answer), Client(tmp_path / "s") as client:
        with pytest.raises(Refused, match="update the older one"):
            client.service()
        for args in VERBS:
            done = CliRunner().invoke(cli, [*args, "--socket", str(tmp_path / "s")])
            assert done.exit_code == 6, (args, done.output)
            assert "update the older one" in done.stderr and advice in done.stderr, args
            assert done.stdout == "", args


def test_threads_share_a_client(bench):
    bench.serve()
    with bench.client() as client, warnings.catch_warnings():
        found = []
        threads = [threading.Thread(target=lambda: found.append(client.service().pid)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(found) == {bench.service.pid}
        assert len(found) == 8
    bench.end_service()


FORKING = """
import os, sys
from blockmill import Client
client = Client(sys.argv[1])
before = client.service().pid
if (child := os.fork()) == 0:
    asked = client.service().pid == before
    client.close()
    os._exit(0 if asked else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert len(client._idle) == 1
assert client.service().pid == before
client.close()
"""


def test_a_forked_child_does_not_use_its_parents_connection(bench):
    bench.serve()
    done = subprocess.run(
        [sys.executable, "-c", FORKING, str(bench.socket)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    bench.end_service()
