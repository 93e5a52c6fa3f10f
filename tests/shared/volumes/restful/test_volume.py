import json
import os
import re
import socket
import subprocess
import sys
import threading
from dataclasses import replace

import h5py
import numpy as np
import pytest

from blockmill.shared.errors import ConfigError, DownloadFailed, JobError, OutOfBounds, StorageError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.conformance import VolumeTests, sample
from blockmill.shared.volumes.registry import open_volume
from blockmill.shared.volumes.restful.description import (
    RESTfulVolumeDescription,
    read_volume_description,
    write_restful_description,
)
from blockmill.shared.volumes.restful.fetch import DownloadSettings
from blockmill.shared.volumes.restful.volume import RESTfulVolume

DATA = sample((9, 14, 11), "uint16")
WHOLE = Roi.from_shape(DATA.shape)
PART = Roi((1, 2, 3), (6, 9, 11))
QUICK = DownloadSettings(timeout_s=5, deadline_s=20, retries=3, back_off_s=0.001)


class _FromServer(VolumeTests):
    writable = False
    kind = "hdf5"

    @pytest.fixture(autouse=True)
    def _servers(self, serving):
        self.serving = serving

    def make(self, directory, data, axes):
        server = self.serving(data, axes, self.kind)
        return RESTfulVolume(server.description(server.url))


class TestRESTfulVolumeOfHdf5(_FromServer):
    pass


class TestRESTfulVolumeOfNpy(_FromServer):
    kind = "npy"


class TestRESTfulVolumeOfBareVoxels(_FromServer):
    kind = "raw"


def through(bad, server, transfer=QUICK, **changes):
    """A volume behind a bad network, and the network."""
    network = bad(server)
    description = replace(server.description(f"http://{network.host}/"), **changes)
    return RESTfulVolume(description, transfer), network


def answers(status=None, body=None, headers=None, length=None):
    """A deed: the good answer with some of it replaced."""

    def deed(handler, good):
        kept = {**good[1], **(headers or {})}
        text = good[2] if body is None else body(good[2]) if callable(body) else body
        handler.close_connection = True
        from_length = length(len(good[2])) if callable(length) else length
        handler.send(status or good[0], kept, text, from_length)

    return deed


def hangs_up(handler, good):
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def stalls(handler, good):
    handler.close_connection = True
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(good[2])))
    handler.end_headers()
    handler.wfile.write(good[2][: len(good[2]) // 2])
    handler.server.released.wait(60)


def trickles(handler, good):
    """A byte at a time, never silent for as long as a time-out, and never at the end."""
    handler.close_connection = True
    handler.send_response(200)
    handler.send_header("Content-Length", "10000000")
    handler.end_headers()
    while not handler.server.released.wait(0.02):
        handler.wfile.write(b"x")


CUT = answers(body=lambda good: good[: len(good) // 2], length=lambda n: n)
CUT_WITHOUT_LENGTH = answers(body=lambda good: good[: len(good) - 200], length="none")
PAGE = answers(body=b"<html><h1>Sign in</h1> please</html>", headers={"Content-Type": "text/html"})


# ---------------------------------------------------------------- what may pass


@pytest.mark.parametrize(
    "deeds",
    [
        [answers(503, b"busy")],
        [answers(500, b""), answers(502, b""), answers(504, b"")],
        [hangs_up],
        [CUT, CUT],
        [answers(429, b"", headers={"Retry-After": "0"}), hangs_up, CUT],
    ],
    ids=["503", "three kinds", "hung up", "cut off", "all sorts"],
)
@pytest.mark.parametrize("kind", ["hdf5", "npy", "raw"])
def test_what_may_pass_is_tried_again(serving, bad, deeds, kind):
    volume, network = through(bad, serving(DATA, kind=kind))
    network.plan = [*deeds]
    np.testing.assert_array_equal(volume.read(PART), DATA[PART.to_slice()])
    assert len(network.seen) == len(deeds) + 1


def test_a_server_that_stays_away_is_told_with_reason_and_attempts(serving, bad):
    volume, network = through(bad, serving(DATA))
    network.always = answers(503, b"<html><style>x{}</style><b>too   busy</b></html>")
    with pytest.raises(DownloadFailed, match=r"127\.0\.0\.1.*503.*too busy.*attempt 4, the last"):
        volume.read(PART)
    assert len(network.seen) == 4


def test_a_refused_connection_is_told_as_such():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        url = f"http://127.0.0.1:{port}/{{x_start}}-{{x_stop}}"
        description = RESTfulVolumeDescription(
            axes="x", dtype="u1", bounds=(5,), url_format=url, format="raw"
        )
        with pytest.raises(DownloadFailed, match="refused"):
            RESTfulVolume(description, replace(QUICK, retries=1)).read(Roi((0,), (5,)))


class _Waits(threading.Event):
    def __init__(self):
        super().__init__()
        self.waited = []

    def wait(self, timeout=None):
        self.waited.append(timeout)
        return False


def test_retry_after_is_kept_to_and_the_pause_doubles(serving, bad):
    volume, network = through(bad, serving(DATA), replace(QUICK, back_off_s=0.5))
    network.plan = [answers(503, b"", headers={"Retry-After": "7"}), hangs_up, answers(500, b"")]
    waits = _Waits()
    volume.read(PART, stop=waits)
    assert waits.waited == [7, 1.0, 2.0]


def test_a_retry_after_beyond_the_deadline_is_not_waited_for(serving, bad):
    volume, network = through(bad, serving(DATA))
    network.always = answers(503, b"", headers={"Retry-After": "86400"})
    with pytest.raises(DownloadFailed, match="86400 s"):
        volume.read(PART)
    assert len(network.seen) == 1


def test_a_stalled_server_costs_a_time_out_and_another_attempt(serving, bad):
    volume, network = through(bad, serving(DATA), replace(QUICK, timeout_s=0.3))
    network.plan = [stalls]
    np.testing.assert_array_equal(volume.read(PART), DATA[PART.to_slice()])
    assert len(network.seen) == 2


def test_a_server_that_trickles_for_ever_meets_the_deadline(serving, bad):
    volume, network = through(bad, serving(DATA), replace(QUICK, deadline_s=0.5))
    network.always = trickles
    with pytest.raises(DownloadFailed, match="and not the last one"):
        volume.read(PART)


# ---------------------------------------------------------------- what is wrong stays wrong


@pytest.mark.parametrize("kind", ["hdf5", "npy", "raw"])
@pytest.mark.parametrize(
    ("deed", "told"),
    [
        (PAGE, "text/html.*Sign in please"),
        (CUT_WITHOUT_LENGTH, "no whole|bytes"),
        (answers(body=b"<html>mislabelled</html>"), "no whole|bytes"),
        (answers(body=b""), "no whole|bytes"),
        (answers(404, b"block is missing"), "404.*block is missing"),
        (answers(403, b"no"), "403.*BLOCKMILL_TOKENS_FILE"),
        (answers(204, b""), "204"),
    ],
    ids=["page", "cut", "mislabelled", "empty", "404", "403", "204"],
)
def test_what_is_no_cutout_never_becomes_voxels(serving, bad, tmp_path, kind, deed, told):
    volume, network = through(bad, serving(DATA, kind=kind))
    network.always = deed
    out = np.full(PART.shape, 7, "uint16")
    with pytest.raises(DownloadFailed, match=told):
        volume.read(PART, out=out)
    assert (out == 7).all()
    with pytest.raises(DownloadFailed, match=told):
        volume.download(PART, tmp_path / "cut.h5")
    assert not list(tmp_path.iterdir())
    assert len(network.seen) == 2  # what will not get better is not tried again


@pytest.mark.parametrize("kind", ["hdf5", "npy", "raw"])
@pytest.mark.parametrize(
    ("other", "told"),
    [(DATA.astype("int16"), "dtype int16"), (sample((9, 14, 12), "uint16"), r"shape \[5, 7, 9\]")],
    ids=["dtype", "shape"],
)
def test_another_shape_or_dtype_is_refused(serving, bad, kind, other, told):
    volume, network = through(bad, serving(DATA, kind=kind))
    liar = serving(other, kind=kind)

    def lie(handler, good):
        shape = other.shape[2] - DATA.shape[2]
        path = handler.path.replace("3,11", f"3,{11 + shape}")
        answer = liar.answer(path, "", "")
        handler.send(200, answer.headers, bytes(answer.body))

    network.always = lie
    with pytest.raises(DownloadFailed, match=told):
        volume.read(PART)


def test_an_endless_answer_is_given_up(serving, bad):
    volume, network = through(bad, serving(DATA))

    def floods(handler, good):
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Content-Type", "application/x-hdf5")
        handler.end_headers()
        while True:
            handler.wfile.write(b"x" * 1_000_000)

    network.always = floods
    with pytest.raises(DownloadFailed, match="too many for its voxels"):
        volume.read(PART)


def test_an_hdf5_cutout_can_not_read_our_own_files(serving, bad, tmp_path):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["cutout"] = DATA[PART.to_slice()]
    linked, outside = tmp_path / "linked.h5", tmp_path / "outside.h5"
    with h5py.File(linked, "w") as file:
        file["cutout"] = h5py.ExternalLink(str(secret), "/cutout")
    with h5py.File(outside, "w") as file:
        file.create_dataset("cutout", PART.shape, "u2", external=str(secret))
    volume, network = through(bad, serving(DATA))
    network.plan = [answers(body=linked.read_bytes()), answers(body=outside.read_bytes())]
    for told in ("link to another file", "in other files"):
        with pytest.raises(DownloadFailed, match=told):
            volume.read(PART)


# ---------------------------------------------------------------- addresses and places


def test_the_server_is_asked_for_local_plus_offset(serving, bad):
    volume, network = through(bad, serving(DATA), origin_offset=(2, 3, 1))
    assert volume.shape == (7, 11, 10)
    np.testing.assert_array_equal(volume.read(Roi((1, 2, 3), (4, 5, 6))), DATA[3:6, 5:8, 4:7])
    assert network.seen == ["/cutout/3,6/5,8/4,7.h5"]
    with pytest.raises(OutOfBounds):
        volume.read(Roi((0, 0, 0), (8, 1, 1)))


def test_an_axis_that_the_address_lacks_comes_whole_and_is_cut_here(serving, bad):
    data = sample((4, 5, 3), "uint8")
    server = serving(data, "yxc")
    volume, network = through(
        bad, server, url_format="http://HOST/cutout/{y_start},{y_stop}/{x_start},{x_stop}/0,3"
    )
    url = volume.description.url_format.replace("HOST", network.host)
    volume = RESTfulVolume(replace(volume.description, url_format=url), QUICK)
    np.testing.assert_array_equal(volume.read(Roi((1, 2, 1), (3, 5, 2))), data[1:3, 2:5, 1:2])
    assert network.seen == ["/cutout/1,3/2,5/0,3"]


def test_a_downloaded_file_is_what_the_server_sent(serving, tmp_path):
    server = serving(DATA)
    volume = RESTfulVolume(server.description(server.url))
    volume.download(PART, f"{tmp_path}/cut.h5/cutout")
    with h5py.File(tmp_path / "cut.h5") as file:
        np.testing.assert_array_equal(file["cutout"][...], DATA[PART.to_slice()])
    assert [path.name for path in tmp_path.iterdir()] == ["cut.h5"]
    with pytest.raises(JobError, match="/other"):
        volume.download(PART, f"{tmp_path}/cut2.h5/other")
    with pytest.raises(StorageError, match="none"):
        volume.download(PART, tmp_path / "none" / "cut.h5")


def test_voxels_are_asked_for_as_npy_and_a_file_as_it_is_described(serving, bad, tmp_path):
    server = serving(DATA)
    network = bad(server)
    description = server.description(f"http://{network.host}/", negotiable=True)
    kinds = []

    def noted(handler, good):
        kinds.append(good[1]["Content-Type"])
        handler.send(*good)

    network.always = noted
    volume = RESTfulVolume(description)
    np.testing.assert_array_equal(volume.read(PART), DATA[PART.to_slice()])
    volume.download(PART, tmp_path / "cut.h5")
    assert kinds == ["application/x-npy", "application/x-hdf5"]


def test_a_closed_volume_and_a_write_are_refused(serving):
    server = serving(DATA)
    volume = RESTfulVolume(server.description(server.url))
    with pytest.raises(StorageError, match="only be read"):
        volume.write(WHOLE, DATA)
    volume.close()
    with pytest.raises(StorageError, match="closed"):
        volume.read(WHOLE)


# ---------------------------------------------------------------- secrets


def test_the_token_of_a_server_is_sent_to_it_alone(serving, bad, monkeypatch, tmp_path):
    volume, network = through(bad, serving(DATA))
    other = bad(serving(DATA))
    tokens = tmp_path / "tokens"
    tokens.write_text(f"# mine\n{network.host} very-secret\n")
    tokens.chmod(0o600)
    monkeypatch.setenv("BLOCKMILL_TOKENS_FILE", str(tokens))
    location = {"Location": f"http://{other.host}/cutout/1,6/2,9/3,11.h5"}
    network.plan = [None, answers(302, b"", headers=location)]
    volume = RESTfulVolume(volume.description, replace(QUICK, headers={"X-Key": "also-secret"}))
    for _ in range(2):
        np.testing.assert_array_equal(volume.read(PART), DATA[PART.to_slice()])
    assert [seen.get("Authorization") for seen in network.headers_seen] == ["Bearer very-secret"] * 2
    assert [seen.get("X-Key") for seen in network.headers_seen] == ["also-secret"] * 2
    assert len(other.seen) == 1
    assert not {"Authorization", "X-Key"} & other.headers_seen[0].keys()


@pytest.mark.parametrize("status", [401, 503])
def test_no_message_holds_a_token_even_if_the_server_sends_it_back(serving, bad, status):
    volume, network = through(bad, serving(DATA), replace(QUICK, token="very-secret", retries=0))
    network.always = answers(status, b"bad token very-secret")
    with pytest.raises(DownloadFailed) as caught:
        volume.read(PART)
    error = caught.value
    while error is not None:
        assert "very-secret" not in str(error)
        error = error.__cause__ or error.__context__
    assert "very-secret" not in repr(volume)
    assert "very-secret" not in repr(DownloadSettings(token="very-secret"))


def test_a_password_in_an_address_is_not_told(serving):
    url = serving(DATA).url.replace("//", "//me:very-secret@")
    description = replace(serving(DATA).description(url), url_format=f"{url}nothing/{{z_start}}{{z_stop}}"
        "{y_start}{y_stop}{x_start}{x_stop}")  # fmt: skip
    volume = RESTfulVolume(description, QUICK)
    assert "very-secret" not in volume.address
    with pytest.raises(DownloadFailed) as caught:
        volume.read(PART)
    assert "very-secret" not in str(caught.value)


def test_a_file_of_tokens_that_others_may_read_is_refused(monkeypatch, tmp_path, serving):
    (tmp_path / "tokens").write_text("127.0.0.1 very-secret")
    (tmp_path / "tokens").chmod(0o644)
    monkeypatch.setenv("BLOCKMILL_TOKENS_FILE", str(tmp_path / "tokens"))
    server = serving(DATA)
    with pytest.raises(ConfigError, match="chmod 600"):
        RESTfulVolume(server.description(server.url))
    monkeypatch.delenv("BLOCKMILL_TOKENS_FILE")
    monkeypatch.setenv("BLOCKMILL_TOKENS", "127.0.0.1 very-secret more")
    with pytest.raises(ConfigError) as caught:
        RESTfulVolume(server.description(server.url))
    assert "very-secret" not in str(caught.value)


# ---------------------------------------------------------------- descriptions

ORIGINAL = {
    "_schema_name": "RESTful-volume-description",
    "_schema_version": 1.0,
    "name": "Bock11-level0",
    "format": "hdf5",
    "axes": "zyx",
    "##dtype": "a comment",
    "##dtype ": "and another",
    "dtype": "numpy.uint8",
    "bounds": "[ 4156, 135424, 119808 ]",
    "origin offset": [2917, 0, 50],
    "shape": [1, 2, 3],
    "url_format": "http://server/hdf5/0/{x_start},{x_stop}/{y_start},{y_stop}/{z_start},{z_stop}/",
    "hdf5_dataset": "CUTOUT",
}


def written(tmp_path, **changes):
    path = tmp_path / "v.json"
    path.write_text(json.dumps({k: v for k, v in {**ORIGINAL, **changes}.items() if v is not ...}))
    return path


def test_a_description_of_the_original_is_read_and_its_shape_worked_out(tmp_path):
    found = read_volume_description(written(tmp_path))
    assert found.shape == (4156 - 2917, 135424, 119808 - 50)
    assert found.hdf5_dataset == "/CUTOUT"
    roi = found.remote(Roi((0, 1, 2), (10, 11, 12)))
    assert found.url(roi) == "http://server/hdf5/0/52,62/1,11/2917,2927/"
    write_restful_description(tmp_path / "w.json", found)
    assert read_volume_description(tmp_path / "w.json") == found
    assert found.plain()["dtype"] == "uint8"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"_schema_name": "blockwise-fileset-description"}, "_schema_name"),
        ({"_schema_version": 2.0}, "only 1.0"),
        ({"_schema_version": ...}, "only 1.0"),
        ({"format": "tiff"}, "tiff"),
        ({"bounds": ...}, "bounds: is missing"),
        ({"bounds": [5, 5]}, "2 numbers"),
        ({"bounds": [10, 10, 10]}, "above origin_offset"),
        ({"axes": "zyy"}, "each once"),
        ({"dtype": "object"}, "pickles"),
        ({"dtype": "__import__('os').system('x')"}, "dtype"),
        ({"hdf5_dataset": ...}, "hdf5_dataset"),
        ({"url_format": "file:///etc/{x_start}"}, "http://"),
        ({"url_format": "http://h/{x_start}"}, "lacks"),
        ({"url_format": ORIGINAL["url_format"] + "{x_start.__class__}"}, "no start or stop"),
        ({"url_format": ORIGINAL["url_format"] + "{t_start}{t_stop}"}, "no start or stop"),
        ({"url_format": ORIGINAL["url_format"] + "{0}"}, "no start or stop"),
        ({"url_format": ORIGINAL["url_format"] + "{x_start:999999999}"}, "width"),
        ({"url_format": ORIGINAL["url_format"] + "{"}, "no valid format"),
    ],
)
def test_what_is_wrong_with_a_description_is_told(tmp_path, changes, told):
    with pytest.raises(JobError, match=re.escape(told)) as caught:
        RESTfulVolume(written(tmp_path, **changes))
    assert "v.json" in str(caught.value)


def test_a_plane_needs_no_third_axis(serving):
    server = serving(DATA[0], "yx")
    volume = RESTfulVolume(server.description(server.url))
    np.testing.assert_array_equal(volume.read(Roi((1, 2), (4, 6))), DATA[0, 1:4, 2:6])


# ---------------------------------------------------------------- from address to job


def test_an_address_and_a_job_take_the_volume_of_a_server(serving, tmp_path):
    server = serving(DATA)
    write_restful_description(tmp_path / "remote.json", server.description(server.url))
    assert isinstance(open_volume(str(tmp_path / "remote.json")), RESTfulVolume)
    job = {"input": "remote.json", "output": "out.npy", "operation": "copy", "workers": 2}
    (tmp_path / "job.yaml").write_text(json.dumps(job))
    command = [sys.executable, "-m", "blockmill", "run", "job.yaml", "-q"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60, env=os.environ)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), DATA)
