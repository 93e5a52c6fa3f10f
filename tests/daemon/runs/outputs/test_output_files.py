"""The hidden folder beside an output: one run at a time, what is ours, whose group it has."""

import os
import stat
import tempfile
import threading
import traceback
from pathlib import Path

import pytest

from blockmill.daemon.runs.outputs.output_files import OutputFiles
from blockmill.daemon.runs.outputs.output_record import OutputRecord, format_record
from blockmill.shared.errors import OutputRefused, StorageError
from blockmill.shared.locking.filelock import FileLock

RECORD = OutputRecord({"input": "a.npy", "output_is": {"shape": [8, 8]}}, (4, 4))


@pytest.fixture
def files(tmp_path):
    return OutputFiles(tmp_path / "out.npy")


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_one_run_holds_an_output_and_leaves_nothing_but_its_record(tmp_path, files):
    other = OutputFiles(files.output)
    with files.held():
        files.write_record(RECORD)
        assert names(tmp_path) == [".out.npy.blockmill/lock", ".out.npy.blockmill/record", "out.npy.job.lock"]
        with pytest.raises(OutputRefused, match=r"another run is writing .*process"), other.held():
            pass
        with pytest.raises(OutputRefused, match="another run"):
            OutputFiles(files.output).check_free()
    assert names(tmp_path) == [".out.npy.blockmill/record"]
    assert OutputFiles(files.output).read_record() == RECORD


def test_a_run_that_kept_nothing_leaves_no_folder(tmp_path, files):
    with files.held():
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_version_0_1_is_seen_and_then_its_lock_is_let_go(tmp_path, files):
    with (
        FileLock(tmp_path / "out.npy.job"),
        pytest.raises(OutputRefused, match="another run is writing"),
        files.held(),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", bytes(200), b"blockmill lo"], ids=["empty", "zeros", "half"])
@pytest.mark.parametrize("name", ["out.npy.job.lock", ".out.npy.blockmill/lock"])
def test_a_lock_that_a_power_cut_has_emptied_is_a_leftover(tmp_path, files, name, content):
    files.folder.mkdir()
    (tmp_path / name).write_bytes(content)
    files.check_free()
    with files.held():
        assert files.read_record() is None
    assert list(tmp_path.iterdir()) == []


def test_runs_that_come_and_go_at_once_never_break_each_other(tmp_path):
    wrong, held = [], []

    def come_and_go():
        for _ in range(60):
            try:
                with OutputFiles(tmp_path / "out.npy").held():
                    held.append(None)
            except OutputRefused:
                pass
            except BaseException as error:  # noqa: BLE001 - whatever it is, the test fails
                wrong.append(error)

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and held
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["ledger", "partial"])
def test_without_a_record_the_rest_is_somebody_elses(files, name):
    files.make_folder()
    (files.folder / name).write_text("mine")
    for check in (files.read_record, files.check_ours):
        with pytest.raises(OutputRefused, match=f"{name} is in the way"):
            check()
    assert (files.folder / name).read_text() == "mine"


ODD = [
    b'{"format": 1, "identity": [], "task_block": [1], "finished": true}',
    b'{"format": 1, "identity": {}, "task_block": [1.5], "finished": true}',
]


@pytest.mark.parametrize("content", [b"", b"mine", b"{}", b'{"format": 1}', *ODD])
def test_a_record_that_makes_no_sense_is_refused_and_stays(files, content):
    files.make_folder()
    files.record.write_bytes(content)
    with pytest.raises(OutputRefused, match="not a job record"):
        files.read_record()
    with pytest.raises(OutputRefused, match="record is in the way"):
        files.check_ours()
    assert files.record.read_bytes() == content


def test_a_record_of_another_version_may_be_replaced_but_not_taken_up(files):
    files.make_folder()
    files.record.write_bytes(b'{"format": 99}')
    with pytest.raises(OutputRefused, match=r"another version.*--overwrite"):
        files.read_record()
    files.check_ours()
    files.forget()
    assert list(files.folder.iterdir()) == []


def old(files, *, ledger=b"\1" * 20, partial=b"voxels"):
    """What version 0.1 leaves of an output of four blocks."""
    beside = files.output.parent
    (beside / "out.npy.job").write_bytes(format_record(RECORD))
    (beside / "out.npy.blocks").write_bytes(ledger)
    (beside / "out.npy.partial").write_bytes(partial)


def test_what_version_0_1_left_is_seen_where_it_lies_and_moved_when_it_is_taken_up(tmp_path, files):
    old(files)
    assert files.read_record() == RECORD
    assert (files.ledger.name, files.partial.name) == ("out.npy.blocks", "out.npy.partial")
    with files.held():
        files.take_up_old()
        assert (files.ledger.read_bytes(), files.partial.read_bytes()) == (b"\1" * 20, b"voxels")
    assert names(tmp_path) == [f".out.npy.blockmill/{name}" for name in ("ledger", "partial", "record")]
    assert OutputFiles(files.output).read_record() == RECORD


@pytest.mark.parametrize("moved", [(), ("blocks",), ("blocks", "partial")])
def test_a_move_that_was_cut_off_goes_on(files, moved):
    old(files)
    files.make_folder()
    for name in moved:
        target = files.folder / ("ledger" if name == "blocks" else name)
        files.output.with_name(f"out.npy.{name}").rename(target)
    again = OutputFiles(files.output)
    assert again.read_record() == RECORD
    again.check_ours()
    again.take_up_old()
    assert (again.ledger.read_bytes(), again.partial.read_bytes()) == (b"\1" * 20, b"voxels")


def test_files_with_the_old_names_that_version_0_1_has_not_written_stay(tmp_path, files):
    old(files, ledger=b"mine, of another size")
    (tmp_path / "out.npy.partial").unlink()
    files.make_folder()
    files.take_up_old()
    assert (tmp_path / "out.npy.blocks").read_bytes() == b"mine, of another size"
    (tmp_path / "out.npy.job").write_text("mine, too")
    assert OutputFiles(files.output).read_record() == RECORD
    files.forget()
    assert (tmp_path / "out.npy.job").read_text() == "mine, too"


def test_a_record_of_version_0_1_that_was_written_later_counts(files):
    files.make_folder()
    files.write_record(OutputRecord({"input": "older"}, (8, 8)))
    old(files)
    assert files.read_record() == RECORD


def test_what_this_version_left_before_version_0_1_began_anew_counts_no_more(tmp_path, files):
    """Even if 0.1 was killed before it had files of its own, another job's blocks are not taken for its."""
    files.make_folder()
    files.write_record(OutputRecord({"input": "older"}, (8, 8)))
    for name in ("ledger", "partial"):
        (files.folder / name).write_bytes(b"of another job")
    old(files)
    for name in ("blocks", "partial"):
        (tmp_path / f"out.npy.{name}").unlink()
    again = OutputFiles(files.output)
    assert not again.partial.exists()
    assert not again.ledger.exists()
    again.take_up_old()
    assert names(tmp_path) == [".out.npy.blockmill/record"]
    assert again.read_record() == RECORD
    assert (again.ledger, again.partial) == (files.folder / "ledger", files.folder / "partial")


def test_a_take_up_that_was_cut_off_before_the_old_record_went_keeps_what_was_moved(tmp_path, files):
    old(files)
    files.make_folder()
    files.take_up_old()
    (tmp_path / "out.npy.job").write_bytes(format_record(RECORD))
    again = OutputFiles(files.output)
    assert again.partial.read_bytes() == b"voxels"
    again.take_up_old()
    assert names(tmp_path) == [f".out.npy.blockmill/{name}" for name in ("ledger", "partial", "record")]


@pytest.mark.parametrize("folder", ["/proc/nope", "/dev/full", "{tmp}/afile"])
def test_a_folder_that_can_not_be_made_is_a_storage_error(tmp_path, folder):
    (tmp_path / "afile").touch()
    files = OutputFiles(Path(folder.format(tmp=tmp_path)) / "out.npy")
    with pytest.raises(StorageError, match=r"could not make .*out\.npy\.blockmill"), files.held():
        pass


# ------------------------------------------------------------------- shared folders


def as_user(uid, gid, deed):
    """Do something as somebody else, whose umask lets nobody else write; whether it went well."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    code = 1
    try:
        os.umask(0o022)
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        deed()
        code = 0
    except BaseException:  # noqa: BLE001 - the child tells its parent by its code
        traceback.print_exc()
    finally:
        os._exit(code)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may act as two people")
@pytest.mark.parametrize(
    ("mode", "folder_mode", "file_mode", "other_may"),
    [(0o2775, 0o2775, 0o664, True), (0o2755, 0o2755, 0o644, False), (0o1777, 0o755, 0o644, False)],
    ids=["group", "owner alone", "as in /tmp"],
)
def test_what_is_ours_has_the_group_and_mode_that_the_outputs_folder_asks_for(
    mode, folder_mode, file_mode, other_may
):
    ann, ben, lab = 61001, 61002, 61003
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        folder = Path(base) / "lab"
        folder.mkdir()
        os.chown(folder, ann, lab)
        folder.chmod(mode)
        files = OutputFiles(folder / "out.npy")

        def write():
            with OutputFiles(files.output).held():
                OutputFiles(files.output).write_record(RECORD)

        assert as_user(ann, lab, write)
        for path, wanted in ((files.folder, folder_mode), (files.record, file_mode)):
            assert (path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) == (lab, wanted)
        assert as_user(ben, lab, write) == other_may
        if other_may:
            assert files.record.stat().st_uid == ben and files.record.stat().st_gid == lab


@pytest.mark.parametrize("name", ["out.npy.job", ".out.npy.blockmill/record"])
def test_a_pipe_in_the_place_of_a_record_is_not_waited_for(tmp_path, files, name):
    files.make_folder()
    os.mkfifo(tmp_path / name)
    assert files.read_record() is None


def test_a_partial_file_beside_a_finished_output_of_version_0_1_is_somebody_elses(tmp_path, files):
    old(files)
    finished = OutputRecord(RECORD.identity, RECORD.task_block, True)
    (tmp_path / "out.npy.job").write_bytes(format_record(finished))
    files.make_folder()
    files.take_up_old()
    files.forget()
    assert (tmp_path / "out.npy.partial").read_bytes() == b"voxels"


def test_a_record_and_a_description_that_a_dead_run_has_half_written_are_removed(tmp_path):
    files = OutputFiles(tmp_path / "o[1].json")
    with files.held():
        files.make_folder()
        left = [files.folder / "record.partial-0123456789ab", tmp_path / "o[1].json.partial-ba9876543210"]
        others = [tmp_path / "o1.json.partial-ba9876543210", tmp_path / "o[1].json.partial-mine"]
        for path in (*left, *others):
            path.touch()
    with files.held():
        assert [path.exists() for path in (*left, *others)] == [False, False, True, True]
