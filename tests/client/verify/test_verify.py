import json
import re
import struct
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.client.cli.verbs.volume import verify
from blockmill.client.formatting.exit_codes import BAD_FILE, FAILED, INTERRUPTED
from blockmill.client.verify.check_processes import tallies
from blockmill.client.verify.checks import FilesetCheck, check_of, tally_of
from blockmill.daemon.runs.outputs.output_files import OutputFiles
from blockmill.daemon.runs.outputs.output_record import OutputRecord
from blockmill.shared.errors import StorageError
from blockmill.shared.files.checksum import crc32_of
from blockmill.shared.geometry.grid import BlockGrid
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.blockwise import store
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset
from blockmill.shared.volumes.hdf5.volume import Hdf5Volume
from blockmill.shared.volumes.ledger import Ledger
from blockmill.shared.volumes.npy import NpyVolume
from blockmill.shared.volumes.restful.description import RESTfulVolumeDescription, write_restful_description

SHAPE, BLOCK = (7, 9), (2, 4)
VOXELS = np.arange(63, dtype="u2").reshape(SHAPE)
GRID = BlockGrid(Roi.from_shape(SHAPE), BLOCK)
RECORDS = Path(".v.npy.blockmill")
STARTS = [block.start for block in GRID]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def made_fileset():
    description = FilesetDescription(
        axes="yx", shape=SHAPE, dtype="u2", block_shape=BLOCK, block_file_name_format="b{roiString}.h5/d"
    )
    fileset = BlockwiseFileset.create("v.json", description)
    fileset.write(Roi.from_shape(SHAPE), VOXELS)
    return fileset


def file_of(fileset, start):
    return Path(fileset.block_file(start))


def status_of(fileset, start):
    return Path(fileset.dataset_directory(start)) / "STATUS.txt"


def made_merged(address, leave_out=()):
    """A file as a job merges it, with its record and ledger beside it."""
    output = Path(address.split("/")[0])

    identity = {"output_is": {"shape": list(SHAPE)}}
    files = OutputFiles(output)
    files.make_folder()
    files.write_record(OutputRecord(identity, BLOCK, finished=not leave_out))
    if output.suffix == ".h5":
        volume = Hdf5Volume.create(files.partial, "d", SHAPE, "u2")
    else:
        volume = NpyVolume.create(files.partial, SHAPE, "u2")
    ledger = Ledger(files.ledger, len(GRID))
    for number, block in enumerate(GRID):
        if number not in leave_out:
            voxels = VOXELS[block.to_slice()]
            volume.write(block, voxels)
            ledger.note(number, crc32_of(voxels))
    volume.close()
    ledger.close()
    if not leave_out:
        files.partial.rename(output)


def verify_volume(address, workers, as_json):
    """The exit code of the verb."""
    with pytest.raises(SystemExit) as ended:
        verify.command.main([address, f"--workers={workers}", *(["--json"] if as_json else [])])
    return ended.value.code


def verified(capsys, address="v.json", code=0, workers=1):
    """The counts of a verification, and what it says of damaged blocks."""
    assert verify_volume(address, workers, True) == code
    document = json.loads(capsys.readouterr().out)
    counts = {name: document[name] for name in ("ok", "unchecked", "missing", "damaged") if document[name]}
    assert sum(counts.values()) == document["blocks"] == len(GRID)
    return counts, {tuple(one["start"]): one["reason"] for one in document["damage"]}


# ---------------------------------------------------------------- filesets


@pytest.mark.processes
@pytest.mark.parametrize("workers", [1, 2, 40])
def test_a_whole_fileset_is_fine(capsys, workers):
    made_fileset()
    assert verified(capsys, workers=workers) == ({"ok": 12}, {})


@pytest.mark.processes
@pytest.mark.parametrize("workers", [1, 3])
def test_each_kind_of_wrong_block_is_told_as_what_it_is(capsys, workers):
    fileset = made_fileset()
    cut, changed, removed, unwritten, plain = STARTS[:5]
    content = file_of(fileset, cut).read_bytes()
    file_of(fileset, cut).write_bytes(content[:-1])
    content = bytearray(file_of(fileset, changed).read_bytes())
    content[-1] ^= 1
    file_of(fileset, changed).write_bytes(content)
    file_of(fileset, removed).unlink()
    fileset.set_block_status(unwritten, False)
    status_of(fileset, plain).write_bytes(b"")
    counts, damage = verified(capsys, code=FAILED, workers=workers)
    assert counts == {"ok": 7, "unchecked": 1, "missing": 1, "damaged": 3}
    assert damage.keys() == {cut, changed, removed}
    assert "the record says" in damage[cut]
    assert damage[changed] == "checksum differs"
    assert "missing" in damage[removed]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda path: path.write_bytes(b"no HDF5"), "can't be opened"),
        (lambda path: rewritten(path, VOXELS[:1, :4]), r"holds \[1, 4\] voxels"),
        (lambda path: rewritten(path, VOXELS[:2, :4].astype("u1")), "holds uint8"),
        (lambda path: rewritten(path, VOXELS[:2, :4], "other"), "no dataset 'd'"),
        (lambda path: path.unlink(), "does not exist"),
    ],
)
def test_a_block_without_facts_must_hold_such_voxels(capsys, change, reason):
    fileset = made_fileset()
    status_of(fileset, STARTS[0]).write_bytes(b"")
    assert verified(capsys) == ({"ok": 11, "unchecked": 1}, {})
    change(file_of(fileset, STARTS[0]))
    counts, damage = verified(capsys, code=FAILED)
    assert counts == {"ok": 11, "damaged": 1}
    assert [*damage] == [STARTS[0]]
    assert re.search(reason, damage[STARTS[0]])


def rewritten(path, voxels, name="d"):
    with h5py.File(path, "w") as file:
        file[name] = voxels


@pytest.mark.processes
@given(st.sets(st.sampled_from(STARTS)), st.integers(1, 3))
def test_the_damaged_blocks_are_told_and_no_others(tmp_path_factory, damaged, batch):
    path = tmp_path_factory.mktemp("v") / "v.json"
    description = FilesetDescription(
        axes="yx", shape=SHAPE, dtype="u2", block_shape=BLOCK, block_file_name_format="b{roiString}.h5/d"
    )
    fileset = BlockwiseFileset.create(path, description)
    fileset.write(Roi.from_shape(SHAPE), VOXELS)
    for start in damaged:
        file_of(fileset, start).write_bytes(b"")
    check = FilesetCheck(fileset)
    batch_tallies = [tally_of(check, first, min(first + batch, 12)) for first in range(0, 12, batch)]
    assert {GRID.roi_of(number).start for tally in batch_tallies for number, _ in tally.damage} == damaged
    assert sum(tally.ok for tally in batch_tallies) == 12 - len(damaged)


def test_a_block_that_is_rewritten_meanwhile_is_looked_at_again(monkeypatch):
    fileset = made_fileset()
    original = store.checksum_of_file

    def rewritten_after(path):
        found = original(path)
        if found[1] != fileset.block_record(STARTS[0]).checksum:
            fileset.write(GRID.roi_of(0), VOXELS[:2, :4] + 1)
        return found

    damaged = file_of(fileset, STARTS[0])
    damaged.write_bytes(bytes(fileset.block_record(STARTS[0]).size_bytes))
    monkeypatch.setattr(store, "checksum_of_file", rewritten_after)
    assert tally_of(check_of("v.json"), 0, 1).ok == 1


def test_a_file_that_the_system_can_not_read_is_a_damaged_block(monkeypatch):
    made_fileset()

    def refuses(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(store, "checksum_of_file", refuses)
    assert tally_of(check_of("v.json"), 0, 1).damage == [(0, "[Errno 5] Input/output error")]


# ---------------------------------------------------------------- merged files


@pytest.mark.processes
@pytest.mark.parametrize("address", ["v.npy", "v.h5/d"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_merged_file_is_compared_with_its_ledger(capsys, address, workers):
    made_merged(address)
    assert verified(capsys, address, workers=workers) == ({"ok": 12}, {})
    damage(address)
    assert verified(capsys, address, FAILED, workers) == (
        {"ok": 11, "damaged": 1},
        {(2, 4): "checksum differs"},
    )


def damage(address):
    if address.endswith(".npy"):
        np.load(address, mmap_mode="r+")[3, 5] += 1
    else:
        with h5py.File("v.h5", "r+") as file:
            file["d"][3, 5] += 1


@pytest.mark.parametrize("address", ["v.npy", "v.h5/d"])
def test_what_there_is_of_a_partial_file_is_compared(capsys, address):
    made_merged(address, leave_out={3, 7})
    assert verified(capsys, address, FAILED) == ({"ok": 10, "missing": 2}, {})


@pytest.mark.parametrize("beside", ["ledger", "record"])
def test_without_a_ledger_there_is_nothing_to_check_against(capsys, beside):
    made_merged("v.npy")
    (RECORDS / beside).unlink()
    if beside == "record":
        (RECORDS / "ledger").unlink()  # alone it would be somebody else's
    assert verify_volume("v.npy", 1, False) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "nothing to check it against" in err
    assert {path.name for path in Path().iterdir()} == {"v.npy", RECORDS.name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: np.save("v.npy", VOXELS[1:]), "shape"),
        (lambda: Path("v.npy").write_bytes(Path("v.npy").read_bytes()[:-9]), r"v\.npy"),
        (lambda: (RECORDS / "ledger").write_bytes(struct.pack("<BI", 1, 2)), "no ledger of 12"),
        (lambda: (RECORDS / "ledger").write_bytes(b""), "is empty"),
    ],
    ids=["replaced", "cut off", "other ledger", "empty ledger"],
)
def test_a_file_or_ledger_that_is_damaged_as_a_whole_is_told(capsys, change, message):
    made_merged("v.npy")
    change()
    assert verify_volume("v.npy", 1, False) == FAILED
    assert re.search(message, capsys.readouterr().err)


# ---------------------------------------------------------------- the verb


@pytest.mark.parametrize("address", ["none.json", "none.npy", "v.txt", "", "v.h5"])
def test_a_bad_address_has_an_exit_code_of_its_own(capsys, address):
    assert verify_volume(address, 1, False) == BAD_FILE
    assert capsys.readouterr().err.startswith("blockmill: ")


def test_of_a_volume_of_a_server_there_is_nothing_to_check(capsys):
    url = "http://127.0.0.1:9/{y_start},{y_stop}/{x_start},{x_stop}"
    remote = RESTfulVolumeDescription(axes="yx", dtype="u2", bounds=SHAPE, url_format=url, hdf5_dataset="d")
    write_restful_description("r.json", remote)
    assert verify_volume("r.json", 1, False) == 0
    assert "nothing is kept here" in capsys.readouterr().err


def test_people_are_told_each_damaged_block_and_the_sums(capsys):
    fileset = made_fileset()
    file_of(fileset, STARTS[4]).write_bytes(b"")
    assert verify_volume("v.json", 1, False) == FAILED
    out, err = capsys.readouterr()
    assert re.fullmatch(rf"block {re.escape(str(GRID.roi_of(4)))}: file has 0 bytes, .*\n", err)
    assert "11 of 12 blocks" in out
    assert "1 damaged" in out
    assert "run the job" in out


def test_json_keeps_to_a_bounded_list_of_damage(capsys, monkeypatch):
    monkeypatch.setattr(verify, "_MAX_IN_JSON", 3)
    fileset = made_fileset()
    for start in STARTS:
        file_of(fileset, start).write_bytes(b"")
    assert verify_volume("v.json", 1, True) == FAILED
    document = json.loads(capsys.readouterr().out)
    assert (document["damaged"], len(document["damage"])) == (12, 3)


def test_an_interrupt_ends_it(capsys, monkeypatch):
    made_fileset()
    monkeypatch.setattr(verify.Interrupt, "came", lambda self: True)
    assert verify_volume("v.json", 2, False) == INTERRUPTED
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.processes
def test_a_checking_process_that_dies_is_told():
    made_fileset()
    check = check_of("v.json")
    Path("v.json").rename("w.json")  # the children will not find it
    with pytest.raises(StorageError, match="ended early"):
        list(tallies("v.json", check, 2, lambda: None))


def test_numbers_of_blocks_are_never_listed():
    check = check_of(made_fileset().address)
    check.grid = replace(check.grid, roi=Roi((0, 0), (2 * 10**9, 4 * 10**9)))  # 10**18 blocks
    first = next(iter(tallies("v.json", check, 1, lambda: None)))
    assert first.blocks == 16
