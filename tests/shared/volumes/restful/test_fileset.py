import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from blockmill.shared.errors import DownloadFailed, JobError, LockTimeout, StorageError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise.description import FilesetDescription, format_description
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.shared.volumes.conformance import VolumeTests, sample
from blockmill.shared.volumes.registry import open_volume
from blockmill.shared.volumes.restful.description import (
    RESTfulFilesetDescription,
    read_fileset_description,
    write_restful_description,
)
from blockmill.shared.volumes.restful.fetch import DownloadSettings
from blockmill.shared.volumes.restful.fileset import RESTfulBlockwiseFileset

DATA = sample((9, 14, 11), "uint16")
BLOCK = (4, 5, 6)
WHOLE = Roi.from_shape(DATA.shape)
QUICK = DownloadSettings(timeout_s=5, deadline_s=20, retries=1, back_off_s=0.001)
BUSY = 503


def local_of(data, axes="zyx", **changes):
    fields = {"axes": axes, "shape": data.shape, "dtype": data.dtype}
    fields |= {"block_shape": BLOCK[: data.ndim] + (2,) * (data.ndim - 3)}
    fields |= {"block_file_name_format": "b-{roiString}.h5/cutout", "dataset_root_dir": "blocks"}
    return FilesetDescription(**{**fields, **changes})


def described(tmp_path, server, network=None, remote=None, **local):
    """The path of a composite description."""
    base = f"http://{network.host}/" if network else server.url
    remote_description = replace(server.description(base), **(remote or {}))
    path = tmp_path / "cache.json"
    composite = RESTfulFilesetDescription(
        remote_description=remote_description,
        local_description=local_of(np.empty(DATA.shape, DATA.dtype), **local),
    )
    write_restful_description(path, composite)
    return path


class TestRESTfulBlockwiseFileset(VolumeTests):
    writable = False

    @pytest.fixture(autouse=True)
    def _servers(self, serving):
        self.serving = serving

    def make(self, directory, data, axes):
        server = self.serving(data, axes)
        composite = RESTfulFilesetDescription(
            remote_description=server.description(server.url), local_description=local_of(data, axes)
        )
        write_restful_description(directory / "c.json", composite)
        return RESTfulBlockwiseFileset(directory / "c.json")


@pytest.fixture
def pair(serving, bad, tmp_path):
    """A fileset and the network before its server."""
    server = serving(DATA)
    network = bad(server)
    return RESTfulBlockwiseFileset(described(tmp_path, server, network), QUICK), network


def test_a_block_is_downloaded_once_and_only_if_it_is_wanted(pair):
    fileset, network = pair
    roi = Roi((3, 4, 0), (5, 6, 3))
    for _ in range(3):
        np.testing.assert_array_equal(fileset.read(roi), DATA[roi.to_slice()])
    assert len(network.seen) == 4
    assert set(network.count.values()) == {1}
    fileset.read(WHOLE)
    assert len(network.seen) == 18
    assert set(network.count.values()) == {1}


def test_what_is_kept_is_a_fileset_like_any_other(pair, tmp_path):
    fileset, _ = pair
    fileset.read(WHOLE)
    (tmp_path / "plain.json").write_bytes(format_description(fileset.description))
    plain = BlockwiseFileset(tmp_path / "plain.json")
    np.testing.assert_array_equal(plain.read(WHOLE), DATA)
    for block in plain.block_rois():
        assert plain.verify_block(block.start) is None
        with h5py.File(plain.block_file(block.start)) as file:
            assert '"key": "z"' in file["cutout"].attrs["axistags"]
    names = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert not [name for name in names if ".lock" in name or "partial" in name]
    assert "cache.json" not in {path.name for path in (tmp_path / "blocks").rglob("*")}


def test_a_view_that_shows_part_of_a_block_keeps_the_whole_block(serving, bad, tmp_path):
    server = serving(DATA)
    network = bad(server)
    path = described(tmp_path, server, network, view_origin=(4, 5, 0), view_shape=(2, 3, 4))
    np.testing.assert_array_equal(
        RESTfulBlockwiseFileset(path).read(Roi((0, 0, 0), (2, 3, 4))), DATA[4:6, 5:8, :4]
    )
    assert network.seen == ["/cutout/4,8/5,10/0,6.h5"]
    (tmp_path / "whole.json").write_bytes(format_description(local_of(DATA)))
    block = BlockwiseFileset(tmp_path / "whole.json").read(Roi((4, 5, 0), (8, 10, 6)))
    np.testing.assert_array_equal(block, DATA[4:8, 5:10, :6])


def test_view_and_offset_add_up(serving, bad, tmp_path):
    server = serving(DATA)
    network = bad(server)
    offset = {"origin_offset": (1, 2, 3)}
    path = described(tmp_path, server, network, offset, shape=(8, 12, 8), view_origin=(4, 5, 6))
    np.testing.assert_array_equal(
        RESTfulBlockwiseFileset(path).read(Roi((0, 0, 0), (4, 5, 2))), DATA[5:9, 7:12, 9:11]
    )
    assert network.seen == ["/cutout/5,9/7,12/9,11.h5"]


# ---------------------------------------------------------------- when it goes wrong


def fails(handler, good):
    handler.close_connection = True
    handler.send_error(404, "gone for good")


def test_a_failing_download_is_told_with_its_cause_and_a_retry_works(pair, tmp_path):
    fileset, network = pair
    network.always = fails
    with pytest.raises(DownloadFailed, match=r"block \[4, 5, 0\].*cache\.json.*404 gone for good"):
        fileset.read(Roi((5, 6, 1), (6, 7, 2)))
    assert not fileset.block_status((4, 5, 0))
    assert not list((tmp_path / "blocks").rglob("*"))  # no empty folder, no lock
    network.always = None
    roi = Roi((5, 6, 1), (6, 7, 2))
    np.testing.assert_array_equal(fileset.read(roi), DATA[roi.to_slice()])


def test_download_all_does_the_rest_and_says_what_failed(pair):
    fileset, network = pair
    fileset.read(Roi((0, 0, 0), (1, 1, 1)))
    broken = {"/cutout/4,8/5,10/0,6.h5": (4, 5, 0), "/cutout/0,4/0,5/6,11.h5": (0, 0, 6)}

    def fails_at_two(handler, good):
        if handler.path in broken:
            return fails(handler, good)
        return handler.send(*good)

    network.always = fails_at_two
    report = fileset.download_all(3)
    assert (report.present, report.downloaded) == (1, 15)
    assert report.failed.keys() == set(broken.values())
    assert all("404" in str(error) for error in report.failed.values())
    network.always = None
    report = fileset.download_all(3)
    assert (report.present, report.downloaded, report.failed) == (16, 2, {})
    np.testing.assert_array_equal(fileset.read(WHOLE), DATA)


@pytest.mark.parametrize("parallel", [1, 3])
def test_downloads_at_a_time_are_bounded(serving, bad, tmp_path, parallel):
    server = serving(DATA)
    network = bad(server)
    fileset = RESTfulBlockwiseFileset(described(tmp_path, server, network), QUICK, max_parallel=parallel)
    now, most, lock = 0, 0, threading.Lock()
    full = threading.Barrier(parallel, timeout=20)

    def counted(handler, good):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        full.wait()  # 18 blocks come in whole rounds
        with lock:
            now -= 1
        handler.send(*good)

    network.always = counted
    np.testing.assert_array_equal(fileset.read(WHOLE), DATA)
    assert most == parallel


def test_a_cached_block_whose_file_has_gone_is_downloaded_again(pair):
    fileset, network = pair
    fileset.read(WHOLE)
    Path(fileset.block_file((4, 5, 6))).unlink()
    np.testing.assert_array_equal(fileset.read(WHOLE), DATA)
    assert len(network.seen) == 19


def test_a_foreign_lock_is_waited_for_and_told_but_not_for_ever(serving, bad, tmp_path):
    server = serving(DATA)
    network = bad(server)
    fileset = RESTfulBlockwiseFileset(described(tmp_path, server, network), QUICK, lock_timeout_s=0.05)
    file = Path(fileset.block_file((0, 0, 0)))
    file.parent.mkdir(parents=True)
    Path(f"{file}.lock").write_text("Owning process args:\npython\nlazyflow.py\n")
    with pytest.raises(LockTimeout, match=r"\.lock"):
        fileset.read(Roi((0, 0, 0), (1, 1, 1)))
    assert not network.seen


def test_it_can_not_be_written(pair):
    with pytest.raises(StorageError, match="reading only"):
        pair[0].write(WHOLE, DATA)


# ---------------------------------------------------------------- several readers

READER = """
import sys
import numpy as np
from blockmill.shared.volumes.restful.fileset import RESTfulBlockwiseFileset
fileset = RESTfulBlockwiseFileset(sys.argv[1])
print("reading", flush=True)
print(int(fileset.read(((0, 0, 0), (4, 5, 6))).sum()))
"""


@pytest.fixture
def reader(tmp_path):
    """Starts processes that read the first block; they are reading when it returns."""
    running = []

    def start(path):
        process = subprocess.Popen(
            [sys.executable, "-c", READER, path], stdout=subprocess.PIPE, text=True, env=os.environ
        )
        running.append(process)
        assert process.stdout.readline() == "reading\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def held(handler, good):
    """Answers when the test says so."""
    handler.server.released.wait(60)
    handler.close_connection = True
    handler.send(*good)


SUM = int(DATA[:4, :5, :6].sum())


def test_of_two_processes_one_downloads_and_both_read(serving, bad, tmp_path, reader):
    server = serving(DATA)
    network = bad(server)
    path = described(tmp_path, server, network)
    network.always = held
    readers = [reader(path)]
    assert network.arrived.acquire(timeout=30)
    readers.append(reader(path))
    assert not network.arrived.acquire(timeout=0.5)  # the second does not ask the server
    network.released.set()
    for process in readers:
        assert int(process.communicate(timeout=30)[0]) == SUM
    assert len(network.seen) == 1


def test_a_killed_downloader_is_taken_over_at_once(serving, bad, tmp_path, reader):
    server = serving(DATA)
    network = bad(server)
    path = described(tmp_path, server, network)
    network.always = held
    first = reader(path)
    assert network.arrived.acquire(timeout=30)
    second = reader(path)
    assert not network.arrived.acquire(timeout=0.3)
    os.kill(first.pid, signal.SIGKILL)
    assert network.arrived.acquire(timeout=4)  # sooner than the original polls
    network.released.set()
    assert int(second.communicate(timeout=30)[0]) == SUM
    assert len(network.seen) == 2


def test_who_waits_for_a_downloader_that_fails_tries_for_itself(serving, bad, tmp_path):
    server = serving(DATA)
    network = bad(server)
    path = described(tmp_path, server, network)

    def fails_when_released(handler, good):
        handler.server.released.wait(60)
        fails(handler, good)

    network.plan = [fails_when_released]
    outcomes = []

    def read():
        try:
            outcomes.append(int(RESTfulBlockwiseFileset(path, QUICK).read(((0, 0, 0), (4, 5, 6))).sum()))
        except DownloadFailed:
            outcomes.append("failed")

    threads = [threading.Thread(target=read)]
    threads[0].start()
    assert network.arrived.acquire(timeout=30)
    threads.append(threading.Thread(target=read))
    threads[1].start()
    network.released.set()
    for thread in threads:
        thread.join()
    assert sorted(outcomes, key=str) == [SUM, "failed"]
    assert len(network.seen) == 2


def test_an_address_opens_it(serving, tmp_path):
    path = described(tmp_path, serving(DATA))
    volume = open_volume(str(path))
    assert isinstance(volume, RESTfulBlockwiseFileset)
    assert volume.block_shape == BLOCK


def test_the_workers_of_a_job_share_what_is_kept(serving, bad, tmp_path):
    server = serving(DATA)
    network = bad(server)
    described(tmp_path, server, network)
    job = {"input": "cache.json", "output": "out.npy", "operation": "copy", "block_shape": [2, 7, 11]}
    (tmp_path / "job.yaml").write_text(json.dumps(job))
    command = [sys.executable, "-m", "blockmill", "run", "job.yaml", "-q", "-w", "3"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60, env=os.environ)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), DATA)
    assert len(network.seen) == 18
    assert set(network.count.values()) == {1}


# ---------------------------------------------------------------- descriptions


@pytest.mark.parametrize(
    ("local", "told"),
    [
        ({"axes": "xyz"}, "axes: differ"),
        ({"dtype": "int16"}, "dtype: differ: uint16 and int16"),
        ({"shape": (9, 14, 12)}, "shape: is"),
        ({"block_file_name_format": "b-{roiString}.h5/volume/cutout"}, "hdf5_dataset"),
    ],
)
def test_parts_that_do_not_fit_are_refused(serving, tmp_path, local, told):
    with pytest.raises(JobError, match=told):
        described(tmp_path, serving(DATA), **local)


def test_a_composite_comes_back_as_it_was_written(serving, tmp_path):
    path = described(tmp_path, serving(DATA), name="cells")
    found = read_fileset_description(path)
    write_restful_description(tmp_path / "again.json", found)
    assert read_fileset_description(tmp_path / "again.json") == found
    assert (tmp_path / "again.json").read_text() == path.read_text()


def test_wrong_parts_are_told_with_their_place(tmp_path, serving):
    path = described(tmp_path, serving(DATA))
    text = path.read_text()
    for old, new, told in [
        ('"bounds"', '"no bounds"', "remote_description: bounds"),
        ('"block_shape"', '"no block_shape"', "local_description: block_shape"),
        ('"local_description"', '"other"', "local_description: is missing"),
        ("RESTful-blockwise", "blockwise", "_schema_name"),
    ]:
        path.write_text(text.replace(old, new))
        with pytest.raises(JobError, match=told):
            RESTfulBlockwiseFileset(path)
