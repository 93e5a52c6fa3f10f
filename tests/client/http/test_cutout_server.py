import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import h5py
import numpy as np
import pytest

from blockmill.client.http.cutout_server import CutoutServer
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.base.memory import MemoryVolume
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.shared.volumes.conformance import sample
from blockmill.shared.volumes.hdf5.volume import Hdf5Volume
from blockmill.shared.volumes.registry import open_volume

DATA = sample((5, 8, 7), "uint16")
CUT = "/cutout/1,4/2,8/0,7"
VOXELS = DATA[1:4, 2:8]


class HeldVolume(MemoryVolume):
    """Reads when it is allowed to."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.entered, self.released = threading.Semaphore(0), threading.Event()

    def read(self, roi, out=None):
        self.entered.release()
        self.released.wait(30)
        return super().read(roi, out)


@pytest.fixture
def serving(run_server):
    return lambda volume, **options: run_server(CutoutServer(volume, **options))


@pytest.fixture
def server(serving):
    return serving(MemoryVolume(DATA, axes="zyx"))


def get(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=20)
    try:
        connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def voxels_of(headers, body):
    kind = headers["Content-Type"]
    if kind == "application/x-hdf5":
        with h5py.File(io.BytesIO(body)) as file:
            return file["cutout"][...]
    if kind == "application/x-npy":
        return np.load(io.BytesIO(body))
    shape = [int(n) for n in headers["X-Voxel-Shape"].split(",")]
    return np.frombuffer(body, headers["X-Voxel-Dtype"]).reshape(shape)


@pytest.mark.parametrize(
    ("extension", "accept", "kind"),
    [
        (".h5", "application/x-npy", "application/x-hdf5"),
        (".npy", "", "application/x-npy"),
        (".raw", "", "application/octet-stream"),
        ("", "", "application/x-hdf5"),
        ("", "*/*", "application/x-hdf5"),
        ("", "text/html, */*;q=0.8", "application/x-hdf5"),
        ("", "application/x-npy", "application/x-npy"),
        ("", "application/x-hdf5;q=0.3, application/octet-stream;q=0.9", "application/octet-stream"),
    ],
)
def test_extension_or_accept_decide_what_is_sent(server, extension, accept, kind):
    status, headers, body = get(server, CUT + extension, Accept=accept)
    assert (status, headers["Content-Type"]) == (200, kind)
    np.testing.assert_array_equal(voxels_of(headers, body), VOXELS)


@pytest.mark.parametrize(
    ("path", "accept", "status", "message"),
    [
        ("/other", "", 404, "/ describes"),
        (CUT + ".tif", "", 404, r"\.tif is none of"),
        ("/cutout/1,4/2,8", "", 400, "z_start,z_stop/y_start"),
        ("/cutout/1,4/2,8/0", "", 400, "whole numbers"),
        ("/cutout/1,4/2,8/0,", "", 400, "whole numbers"),
        ("/cutout/1,4/2,8/0," + "9" * 5000, "", 400, "whole numbers"),
        ("/cutout/-1,4/2,8/0,7", "", 404, "describes"),
        ("/cutout/1,6/2,8/0,7", "", 416, "volume"),
        ("/cutout/1,1/2,8/0,7", "", 416, "roi"),
        ("/cutout/4,1/2,8/0,7", "", 416, "inside out"),
        (CUT, "text/html", 406, "application/x-npy"),
    ],
)
def test_what_is_refused_is_told_with_a_reason(server, path, accept, status, message):
    code, headers, body = get(server, path, Accept=accept)
    assert code == status
    assert headers["Content-Type"].startswith("text/plain")
    assert re.search(message, body.decode())


def test_other_methods_and_too_large_cutouts_are_refused(serving):
    server = serving(MemoryVolume(DATA, axes="zyx"), max_cutout_bytes=251)
    assert get(server, CUT)[0] == 413
    assert get(server, "/cutout/1,2/2,8/0,7")[0] == 200
    assert get(server, CUT, "POST")[0] == 501


def test_a_head_has_the_headers_of_its_get_and_no_body(server):
    _, full, body = get(server, CUT)
    status, headers, nothing = get(server, CUT, "HEAD")
    assert (status, nothing) == (200, b"")
    for name in ("ETag", "Content-Length", "Content-Type", "X-Voxel-Shape"):
        assert headers[name] == full[name]
    assert int(headers["Content-Length"]) == len(body)


def test_an_etag_stays_until_the_voxels_change(serving):
    data = DATA.copy()
    server = serving(MemoryVolume(data, axes="zyx"))
    tags = {get(server, CUT + extension)[1]["ETag"] for extension in (".h5", ".npy", ".raw")}
    assert len(tags) == 3
    tag = get(server, CUT)[1]["ETag"]
    status, headers, body = get(server, CUT, If_None_Match=f'"other", W/{tag}')
    assert (status, body, headers["ETag"]) == (304, b"", tag)
    assert get(server, CUT, If_None_Match='"other"')[0] == 200
    data[2, 3, 4] += 1
    status, headers, _ = get(server, CUT, If_None_Match=tag)
    assert status == 200
    assert headers["ETag"] != tag


@pytest.mark.parametrize(
    ("wanted", "slices"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=5-99999999", slice(5, None)),
        ("bytes=-99999999", slice(None)),
    ],
)
def test_a_range_of_bytes_is_that_part_of_the_whole(server, wanted, slices):
    _, _, full = get(server, CUT)
    status, headers, body = get(server, CUT, Range=wanted)
    assert status == 206
    assert body == full[slices]
    first = len(full) if slices.start is None else range(len(full))[slices].start
    assert headers["Content-Range"].endswith(f"/{len(full)}")
    assert slices.start is None or headers["Content-Range"].startswith(f"bytes {first}-")


def test_ranges_that_can_not_be_had_are_416_and_those_that_make_no_sense_are_ignored(server):
    _, headers, full = get(server, CUT)
    for wanted in (f"bytes={len(full)}-", "bytes=-0"):
        status, refused, _ = get(server, CUT, Range=wanted)
        assert (status, refused["Content-Range"]) == (416, f"bytes */{len(full)}")
    for wanted in ("bytes=9-5", "bytes=-", "bytes=0-1,4-5", "voxels=1-2", "bytes=a-b"):
        assert get(server, CUT, Range=wanted)[::2] == (200, full)
    assert get(server, CUT, Range="bytes=0-9", If_Range='"old"')[::2] == (200, full)
    assert get(server, CUT, Range="bytes=0-9", If_Range=headers["ETag"])[0] == 206


def test_a_missing_block_is_404_with_its_place(serving, tmp_path):
    blocks = {"block_shape": (5, 4, 7), "block_file_name_format": "{roiString}.h5/d"}
    description = FilesetDescription(axes="zyx", shape=(5, 8, 7), dtype="u2", **blocks)
    fileset = BlockwiseFileset.create(tmp_path / "v.json", description)
    fileset.write(Roi((0, 0, 0), (5, 4, 7)), DATA[:, :4])
    server = serving(BlockwiseFileset(tmp_path / "v.json"))
    assert get(server, "/cutout/0,5/0,4/0,7")[0] == 200
    status, _, body = get(server, "/cutout/0,5/0,5/0,7")
    assert status == 404
    assert b"block [0, 4, 0]" in body


def test_many_requests_go_over_one_connection_and_a_body_ends_it(server):
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=20)
    for path, status in ((CUT, 200), ("/no", 404), ("/cutout/9,9/9,9/9,9", 416), (CUT, 200)):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
        assert not answer.will_close
    connection.request("GET", CUT, body=b"GET / HTTP/1.1\r\n\r\n")
    answer = connection.getresponse()
    answer.read()
    assert answer.will_close
    connection.close()


def test_the_description_leads_back_here_by_the_name_that_the_client_used(server, tmp_path):
    for host in ("localhost", "127.0.0.1"):
        name = f"{host}:{server.server_address[1]}"
        (tmp_path / "r.json").write_bytes(get(server, "/", Host=name)[2])
        volume = open_volume(str(tmp_path / "r.json"))
        assert name in (tmp_path / "r.json").read_text()
        np.testing.assert_array_equal(volume.read(Roi.from_shape(DATA.shape)), DATA)
        volume.close()
    assert "evil" not in get(server, "/", Host="evil{x_start}/..")[2].decode()


def test_connections_beyond_the_limit_are_sent_away(serving):
    server = serving(MemoryVolume(DATA, axes="zyx"), max_connections=1)
    first = http.client.HTTPConnection(*server.server_address[:2], timeout=20)
    first.request("GET", CUT)
    first.getresponse().read()
    status, headers, _ = get(server, CUT)
    assert (status, headers["Retry-After"]) == (503, "1")
    first.close()


def test_cutouts_at_a_time_are_bounded(serving):
    volume = HeldVolume(DATA, axes="zyx")
    server = serving(volume, max_parallel=2)
    codes = []
    threads = [threading.Thread(target=lambda: codes.append(get(server, CUT)[0])) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert volume.entered.acquire(timeout=20)
    assert volume.entered.acquire(timeout=20)
    assert not volume.entered.acquire(timeout=0.3)
    volume.released.set()
    for thread in threads:
        thread.join()
    assert codes == [200] * 5


def test_to_stop_lets_answers_end_and_keeps_no_idle_connection(serving):
    volume = HeldVolume(DATA, axes="zyx")
    server = CutoutServer(volume)
    serve = threading.Thread(target=server.serve_forever, args=(0.01,))
    serve.start()
    idle = socket.create_connection(server.server_address)
    answers = []
    busy = threading.Thread(target=lambda: answers.append(get(server, CUT)))
    busy.start()
    assert volume.entered.acquire(timeout=20)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    assert idle.recv(1) == b""
    volume.released.set()
    for thread in (stopping, busy, serve):
        thread.join(20)
        assert not thread.is_alive()
    idle.close()
    np.testing.assert_array_equal(voxels_of(*answers[0][1:]), VOXELS)


# ---------------------------------------------------------------- the verb


def command(*arguments, cwd):
    return subprocess.Popen(
        [sys.executable, "-m", "blockmill", "volume", *arguments],
        cwd=cwd, env=os.environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.processes
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_served_volume_is_opened_by_its_description_until_the_server_is_told_to_end(tmp_path, ending):
    volume = Hdf5Volume.create(tmp_path / "v.h5", "raw", DATA.shape, DATA.dtype, axes="zyx")
    volume.write(Roi.from_shape(DATA.shape), DATA)
    volume.close()
    server = command("serve", "v.h5/raw", "--format", "npy", cwd=tmp_path)
    try:
        url = server.stdout.readline().strip()
        host, port = re.fullmatch(r"http://([0-9.]+):(\d+)/", url).groups()
        assert host == "127.0.0.1"
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        connection.request("GET", "/")
        (tmp_path / "r.json").write_bytes(connection.getresponse().read())
        info = command("info", "r.json", "--json", cwd=tmp_path)
        facts = json.loads(info.communicate(timeout=30)[0])
        assert (facts["shape"], facts["dtype"], facts["axes"]) == ([5, 8, 7], "uint16", "zyx")
        remote = open_volume(str(tmp_path / "r.json"))
        np.testing.assert_array_equal(remote.read(Roi.from_shape(DATA.shape)), DATA)
        remote.close()
    finally:
        server.send_signal(ending)
        _, message = server.communicate(timeout=20)
    connection.close()
    assert server.returncode == 0
    assert "Traceback" not in message


@pytest.mark.processes
def test_what_can_not_be_served_is_told(tmp_path):
    missing = command("serve", "none.npy", cwd=tmp_path)
    assert "none.npy" in missing.communicate(timeout=30)[1]
    assert missing.returncode == 5
    np.save(tmp_path / "v.npy", DATA)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        refused = command("serve", "v.npy", "--port", str(listener.getsockname()[1]), cwd=tmp_path)
        assert "can't listen" in refused.communicate(timeout=30)[1]
        assert refused.returncode == 1
