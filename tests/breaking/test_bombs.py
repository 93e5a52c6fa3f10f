"""Job files and requests that are made to hurt: a line that says what is wrong, at once."""

import contextlib
import json
import os
import socket

import pytest
from breakage import amount

NOT_A_JOB = 5
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
)
FINE = "input: in.npy\noutput: o.npy\noperation: copy\n"
JOBS = {
    "aliases that multiply": BOMB,
    "python tag": "input: !!python/object/apply:os.system ['touch hurt']\noutput: o.npy\noperation: copy\n",
    "lists in lists": "[" * 20_000,
    "an alias of itself": "input: &a [*a]\noutput: o.npy\noperation: copy\n",
    "a merge key": "<<: {input: in.npy}\noutput: o.npy\noperation: copy\n",
    "ten megabytes": "input: " + "x" * 10_000_000,
    "a zero byte": "input: in\0.npy\noutput: o.npy\noperation: copy\n",
    "control characters": "\x01\x02",
    "a number of 5000 digits": f"{FINE}priority: {'9' * 5000}\n",
    "a key that comes twice": f"{FINE}input: in2.npy\n",
    "a sigma without bound": FINE.replace("copy", "{gaussian: {sigma: 1e300}}"),
    "a sigma that is no number": FINE.replace("copy", "{gaussian: {sigma: .nan}}"),
    "blocks of nothing": f"{FINE}block_shape: [0,0,0]\n",
    "a halo without bound": FINE.replace("copy", "{python: {function: 'm:f', halo: [1000000000,1,1]}}"),
    "input and output in one": FINE.replace("o.npy", "./in.npy"),
    "an output that is a folder": FINE.replace("o.npy", "runtime"),
    "a device as input": FINE.replace("in.npy", "/dev/zero"),
    "a pipe as input": FINE.replace("in.npy", "pipe.npy"),
}


@pytest.mark.parametrize("name", JOBS)
def test_a_job_file_that_is_a_bomb_ends_in_words(bench, name):
    bench.volume(shape=(8, 8, 8))
    os.mkfifo(bench.folder / "pipe.npy")
    (bench.folder / "job.yaml").write_text(JOBS[name])
    code, out, err = bench.end_of("run", "job.yaml", timeout_s=30)
    assert code in (1, NOT_A_JOB, 6), (code, err)
    assert "Traceback" not in out + err
    assert "defect" not in err
    assert 0 < len(err) < 20_000
    assert not (bench.folder / "hurt").exists()
    assert not (bench.folder / "o.npy").exists()


def test_a_job_file_of_megabytes_is_refused_by_the_client(bench):
    bench.volume(shape=(8, 8, 8))
    args = {"t": "x" * 3_000_000}
    operation = {"python": {"function": "a:b", "args": args}}
    job = {"input": "in.npy", "output": "o.npy", "user_code": ".", "operation": operation}
    (bench.folder / "big.yaml").write_text(json.dumps(job))
    bench.serve(workers=1)
    code, _, err = bench.end_of("submit", "--no-check", "big.yaml")
    assert code != 0
    assert "Traceback" not in err
    assert "MiB" in err or "MB" in err or "bytes" in err
    bench.end_service()


PATHS = (
    "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/cutout/../../etc",
    "/cutout/0,99999999999999999999/0,1/0,1.npy", "/cutout/64,0/0,1/0,1.npy",
    "/cutout/0,1/0,1/0,1/../../in.npy", "/" + "a" * 70_000, "/\0",
)  # fmt: skip


@pytest.mark.long
def test_a_server_of_cutouts_gives_no_file_and_ends_at_once(bench):
    bench.volume(shape=(64, 64, 64))
    server = bench.start("volume", "serve", "in.npy", "--port", "0")
    line = server.stdout.readline()
    port = int(line.rsplit(":", 1)[1].split("/")[0].split()[0])

    def ask(path):
        head = b"GET %s HTTP/1.1\r\nHost: evil\r\n<x>: y\r\nConnection: close\r\n\r\n" % path.encode()
        with (
            contextlib.suppress(BrokenPipeError, ConnectionResetError),
            socket.create_connection(("127.0.0.1", port), 30) as sock,
        ):
            sock.sendall(head)
            return sock.recv(1 << 16)
        return b""

    for path in PATHS:
        answer = ask(path)
        assert b"root:" not in answer
        assert not answer.startswith(b"HTTP/1.1 200"), path[:60]
    with contextlib.ExitStack() as stack:
        for _ in range(amount("SILENT", 300)):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 30))
        server.terminate()
        assert server.wait(60) in (0, 130, 143)
