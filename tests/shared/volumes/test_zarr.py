"""Zarr arrays: what every volume does, what zarr-python says of them, what a killed writer leaves."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from blockmill.shared.errors import JobError, OutputRefused, StorageError
from blockmill.shared.files.refusals import refused_by_system
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.jobs.job import Job
from blockmill.shared.volumes.base.info import meaning_of
from blockmill.shared.volumes.claims import claims_of, reads_of
from blockmill.shared.volumes.conformance import VolumeTests, sample
from blockmill.shared.volumes.registry import (
    Address,
    format_named,
    format_of,
    open_volume,
    split_address,
    split_input,
)
from blockmill.shared.volumes.zarr.volume import ZarrVolume

tensorstore = pytest.importorskip("tensorstore", reason="the extra zarr is not installed")
zarr = pytest.importorskip("zarr", reason="the extra zarr is not installed")

ZARR = format_named("zarr")
DATA = sample((9, 14, 11), "u2")


class TestZarrVolume(VolumeTests):
    def make(self, directory, data, axes):
        chunks = (4, 5, 3, 2, 2)[: data.ndim]  # the shape is no multiple of it
        volume = ZarrVolume.create(directory / "v.zarr", data.shape, data.dtype, axes=axes, chunks=chunks)
        volume.write(Roi.from_shape(data.shape), data)
        return volume


class TestArrayOfZarrPython(VolumeTests):
    def make(self, directory, data, axes):
        array = zarr.create_array(
            directory / "v", shape=data.shape, dtype=data.dtype, chunks=(4, 5, 3, 2, 2)[: data.ndim],
            dimension_names=list(axes), fill_value=0,
        )  # fmt: skip
        array[...] = data
        return ZarrVolume(directory / "v", "r+")


class TestArrayInShards(VolumeTests):
    writable = False

    def make(self, directory, data, axes):
        chunks = (2,) * data.ndim
        array = zarr.create_array(
            directory / "v", shape=data.shape, dtype=data.dtype, chunks=chunks, shards=(4,) * data.ndim,
            dimension_names=list(axes),
        )  # fmt: skip
        array[...] = data
        return ZarrVolume(directory / "v")


def made(path, **options):
    volume = ZarrVolume.create(path, DATA.shape, DATA.dtype, chunks=(4, 5, 3), **{"axes": "zyx", **options})
    volume.write(Roi.from_shape(DATA.shape), DATA)
    volume.close()
    return path


@pytest.mark.parametrize(
    ("compression", "level"), [("zstd", None), ("zstd", 9), ("blosc", None), ("gzip", 1), ("none", None)]
)
def test_zarr_python_reads_what_was_written(tmp_path, compression, level):
    array = zarr.open_array(made(tmp_path / "a.zarr", compression=compression, level=level), mode="r")
    np.testing.assert_array_equal(array[...], DATA)
    assert (array.chunks, array.metadata.dimension_names) == ((4, 5, 3), ("z", "y", "x"))
    assert array.metadata.zarr_format == 3


def test_axes_are_the_names_of_the_dimensions_or_a_guess(tmp_path):
    for number, (names, axes, guessed) in enumerate(
        [(["t", "z", "x"], "tzx", False), (["depth", "y", "x"], "zyx", True), (None, "zyx", True)]
    ):
        zarr.create_array(tmp_path / str(number), shape=(2, 3, 4), dtype="u1", dimension_names=names)
        volume = open_volume(tmp_path / str(number))
        assert (volume.axes, meaning_of(volume).guessed) == (axes, guessed)


def test_a_chunk_that_was_never_written_reads_as_zeros_and_one_of_zeros_is_a_file(tmp_path):
    with ZarrVolume.create(tmp_path / "a", (4, 4), "u1", chunks=(2, 2)) as volume:
        assert not volume.read().any()
        assert [path.name for path in (tmp_path / "a").iterdir()] == ["zarr.json"]
        volume.write(Roi((0, 2), (2, 4)), np.zeros((2, 2), "u1"))
    assert (tmp_path / "a/c/0/1").is_file()


def test_what_is_no_array_is_refused_in_words(tmp_path):
    group = zarr.open_group(tmp_path / "g.zarr", mode="w")
    group.create_array("0", shape=(2, 3), dtype="u1")
    with pytest.raises(JobError, match=r"is a Zarr group; name one of the arrays in it, such as .*g\.zarr/0"):
        open_volume(tmp_path / "g.zarr")
    assert split_input(f"{tmp_path}/g.zarr/0/") == Address("zarr", f"{tmp_path}/g.zarr/0")
    zarr.create_array(tmp_path / "old.zarr", shape=(2, 3), dtype="u1", zarr_format=2)
    with pytest.raises(JobError, match="is a Zarr container of version 2, which blockmill can't read itself"):
        open_volume(tmp_path / "old.zarr")
    with pytest.raises(JobError, match="does not exist"):
        open_volume(tmp_path / "none.zarr")
    (tmp_path / "file.zarr").write_text("x")
    with pytest.raises(JobError, match="is no folder"):
        open_volume(tmp_path / "file.zarr")
    for key, value, words in (
        ("data_type", "string", "only numbers and bools"),
        ("shape", [9, "x", 11], "is no extent"),
        ("shape", [9, 0, 11], "holds no voxels"),
        ("chunk_grid", {"name": "rectangular"}, "only regular ones"),
        ("chunk_grid", {"name": "regular"}, "is not what an array has"),
    ):
        path = made(tmp_path / f"{key}{words[:4]}.zarr")
        document = json.loads((path / "zarr.json").read_text())
        (path / "zarr.json").write_text(json.dumps({**document, key: value}))
        with pytest.raises(JobError, match=words):
            open_volume(path)


def test_a_damaged_chunk_is_told_and_a_refusal_of_the_system_keeps_its_number(tmp_path):
    path = made(tmp_path / "a.zarr")
    (path / "c/0/0/0").write_bytes(b"cut")
    with open_volume(path) as volume:
        with pytest.raises(StorageError, match=r"could not read .*a\.zarr: .*c/0/0/0") as damaged:
            volume.read()
        assert refused_by_system(damaged.value) is None
        np.testing.assert_array_equal(volume[4:], DATA[4:])
    (path / "c/1/0/0").unlink()
    (path / "c/1/0/0").mkdir()
    with ZarrVolume(path, "r+") as volume, pytest.raises(StorageError) as refused:
        volume.write(Roi((4, 0, 0), (8, 5, 3)), DATA[4:8, :5, :3])
    assert refused_by_system(refused.value)


def test_a_volume_for_reading_goes_to_another_process_by_its_path(tmp_path):
    path = made(tmp_path / "a.zarr")
    with open_volume(path) as volume:
        code = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read())[3, 4, 5])"
        done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(volume), capture_output=True)
    assert int(done.stdout) == DATA[3, 4, 5]
    with pytest.raises(TypeError, match="open for writing"):
        pickle.dumps(ZarrVolume(path, "r+"))
    with pytest.raises(StorageError, match="for reading only"):
        ZarrVolume(path).write(Roi((0, 0, 0), (1, 1, 1)), DATA[:1, :1, :1])


def test_the_library_is_not_imported_before_the_first_voxel(tmp_path):
    path = made(tmp_path / "a.zarr")
    code = (
        "import sys, blockmill; v = blockmill.open_volume(sys.argv[1]); print(v.shape, v.axes);"
        "assert 'tensorstore' not in sys.modules; v[0, 0, 0]; assert 'tensorstore' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "(9, 14, 11) zyx\n"


def test_without_the_library_the_way_to_install_it_is_told(tmp_path, monkeypatch):
    path = made(tmp_path / "a.zarr")
    monkeypatch.setattr("blockmill.shared.volumes.formats.zarr.find_spec", lambda name: None)
    with pytest.raises(JobError, match=r"pip install 'blockmill\[zarr\]'"):
        open_volume(path)


# -- as an output -------------------------------------------------------------------


def test_addresses_and_settings_of_outputs():
    assert split_address("a/b.ZARR/") == Address("zarr", "a/b.ZARR")
    assert split_address("f.h5/b.zarr") == Address("hdf5", "f.h5", "b.zarr")
    fields = {"input": "in.npy", "operation": "copy"}
    job = Job.of({**fields, "output": {"address": "b.zarr", "chunks": [4, 4], "compression": "none"}})
    assert job == Job.of(job.model_dump(mode="json"))
    assert job.identity("yx")["output"] == {
        "chunks": [4, 4],
        "compression": "none",
        "compression_opts": None,
    }
    for settings, words in (
        ({"block_shape": [4, 4]}, "output.block_shape: does not go with b.zarr; known there are address,"),
        ({"compression": "lzf"}, 'there is no compression "lzf" for Zarr; known are none, zstd, blosc, gzip'),
        ({"compression": "zst"}, "did you mean zstd"),
        ({"compression_opts": 40}, "must be between 1 and 22 for zstd"),
        ({"compression": "none", "compression_opts": 1}, "there is none"),
        ({"chunks": [4, 4], "roi": 1}, "output.roi: unknown key"),
    ):
        with pytest.raises(JobError, match=words):
            Job.of({**fields, "output": {"address": "b.zarr", **settings}})
    with pytest.raises(JobError, match="axes, but"):
        Job.of({**fields, "roi": [[0], [4]], "output": {"address": "b.zarr", "chunks": [4, 4]}})
    at = Address("zarr", "x.ome.zarr")
    with pytest.raises(JobError, match=r"the name of an OME-Zarr"):
        ZARR.check_options(at, ZARR.options()(address="x.ome.zarr"))


def test_an_output_owns_its_folder_and_an_input_is_read_whole(tmp_path):
    path = made(tmp_path / "a.zarr")
    address = split_address(str(path))
    assert claims_of(address).meeting(reads_of(address))
    assert claims_of(address).meeting(claims_of(split_address(f"{path}/inside.npy")))
    other = reads_of(split_address(str(tmp_path / "b.zarr")))
    assert claims_of(address).meeting(other) is None


def test_the_state_of_an_input_is_new_with_any_chunk(tmp_path):
    path = made(tmp_path / "a.zarr")
    at = split_input(str(path))

    def state():
        return [*format_of(at).state(at, reads_of(at))]

    before = state()
    assert before == state()
    assert len(before) == 1 + 3 * 3 * 4
    with ZarrVolume(path, "r+") as volume:
        volume.write(Roi((4, 5, 3), (5, 6, 4)), np.full((1, 1, 1), 7, "u2"))
    assert sum(a != b for a, b in zip(before, state(), strict=True)) == 1


def nothing(*args):
    """Neither interrupted, nor told."""


def test_only_an_array_of_its_own_is_replaced(tmp_path):
    path = made(tmp_path / "a.zarr")
    at = split_address(str(path))
    ZARR.check_replaceable(at, nothing)
    (path / "notes.txt").write_text("mine")
    with pytest.raises(OutputRefused, match=r"also holds notes\.txt"):
        ZARR.check_replaceable(at, nothing)
    (path / "notes.txt").unlink()
    (path / "c").rename(tmp_path / "elsewhere")
    (path / "c").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputRefused, match="is a link"):
        ZARR.check_replaceable(at, nothing)
    (path / "c").unlink()
    (path / "zarr.json").unlink()
    ZARR.check_replaceable(at, nothing)  # what an interrupted removal leaves
    (path / "mine").mkdir()
    with pytest.raises(OutputRefused, match="a folder that is no Zarr v3 array"):
        ZARR.check_replaceable(at, nothing)
    (tmp_path / "b.zarr").write_text("x")
    with pytest.raises(OutputRefused, match="no folder"):
        ZARR.check_replaceable(split_address(str(tmp_path / "b.zarr")), nothing)


def test_a_removal_takes_the_array_and_no_more(tmp_path):
    path = made(tmp_path / "a.zarr")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("x")
    (path / "c/0/link").symlink_to(tmp_path / "kept")

    class Interrupted(Exception):
        pass

    def interrupt():
        raise Interrupted

    with pytest.raises(Interrupted):
        ZARR.remove(split_address(str(path)), None, interrupt, nothing)
    assert (path / "zarr.json").exists()
    ZARR.remove(split_address(str(path)), None, nothing, nothing)
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept/file").exists()
    made(path).rename(tmp_path / "real")
    path.symlink_to(tmp_path / "real")
    ZARR.remove(split_address(str(path)), None, nothing, nothing)
    assert (tmp_path / "real/zarr.json").exists() and not os.path.lexists(path)


def test_a_name_that_is_taken_meanwhile_is_not_replaced(tmp_path):
    partial, at = split_address(str(made(tmp_path / "partial.zarr"))), Address("zarr", f"{tmp_path}/a.zarr")
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(FileExistsError):
        ZARR.give_name(partial, at)
    (tmp_path / "a.zarr").rmdir()
    ZARR.give_name(partial, at)
    np.testing.assert_array_equal(open_volume(tmp_path / "a.zarr").read(), DATA)


WRITES_OVER_AND_OVER = """
import sys, numpy as np
from blockmill.shared.volumes.zarr.volume import ZarrVolume
volume = ZarrVolume(sys.argv[1], "r+")
column = int(sys.argv[2])
print("up", flush=True)
for n in range(1, int(sys.argv[3]) + 1):
    volume.write(((0, column), (64, column + 32)), np.full((64, 32), n, "u2"))
print("done", flush=True)
"""


def writer(path, column, times):
    command = [sys.executable, "-c", WRITES_OVER_AND_OVER, str(path), str(column), str(times)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.processes
def test_two_writers_of_neighbouring_chunks_lose_nothing(tmp_path):
    ZarrVolume.create(tmp_path / "a", (64, 64), "u2", chunks=(16, 32)).close()
    writers = [writer(tmp_path / "a", column, 50) for column in (0, 32)]
    assert [process.wait(60) for process in writers] == [0, 0]
    for process in writers:
        process.stdout.close()
    assert (open_volume(tmp_path / "a").read() == 50).all()


@pytest.mark.processes
def test_two_writers_of_one_chunk_lose_nothing(tmp_path):
    ZarrVolume.create(tmp_path / "a", (64, 64), "u2", chunks=(64, 64)).close()
    writers = [writer(tmp_path / "a", column, 50) for column in (0, 32)]
    assert [process.wait(60) for process in writers] == [0, 0]
    for process in writers:
        process.stdout.close()
    assert (open_volume(tmp_path / "a").read() == 50).all()


@pytest.mark.processes
def test_a_killed_writer_leaves_whole_chunks_and_locks_that_are_swept(tmp_path):
    rng = np.random.default_rng(1)
    ZarrVolume.create(tmp_path / "a", (64, 64), "u2", chunks=(16, 32), compression="none").close()
    at = split_input(str(tmp_path / "a"))
    for _ in range(8):
        process = writer(tmp_path / "a", 0, 1_000_000)
        assert process.stdout.readline() == "up\n"
        time.sleep(rng.uniform(0.005, 0.03))  # to be killed at any moment of its work
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with open_volume(tmp_path / "a") as volume:
            for chunk in range(4):
                assert len(np.unique(volume[16 * chunk : 16 * chunk + 16, :32])) == 1
    (tmp_path / "a/c/1").mkdir(exist_ok=True, parents=True)
    (tmp_path / "a/c/1/0.__lock").write_bytes(b"half")
    (tmp_path / "a/c/3/1.__lock").parent.mkdir(exist_ok=True)
    (tmp_path / "a/c/3/1.__lock").write_bytes(b"half")
    assert ZARR.sweep(at, Roi((10, 0), (20, 32))) >= 1
    assert not (tmp_path / "a/c/1/0.__lock").exists()
    assert ZARR.sweep(at) >= 1
    assert not [*(tmp_path / "a").rglob("*.__lock")]
    with ZarrVolume(tmp_path / "a", "r+") as volume:  # what is left harms no later writer
        volume.write(((0, 0), (64, 64)), np.ones((64, 64), "u2"))
        assert (volume.read() == 1).all()
