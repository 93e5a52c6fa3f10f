"""A write that ends at any step leaves the old block or the new one, and never half of either."""

import errno
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from blockmill.shared.errors import LockLost, StorageError
from blockmill.shared.files import atomic
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.locking.filelock import FileLock
from blockmill.shared.volumes.blockwise import writer
from blockmill.shared.volumes.blockwise.description import FilesetDescription
from blockmill.shared.volumes.blockwise.fast import image
from blockmill.shared.volumes.blockwise.fileset import BlockwiseFileset

WHOLE = Roi((0, 0), (4, 5))
OLD, NEW = np.full((4, 5), 1, "u1"), np.full((4, 5), 2, "u1")
WRITES = {
    "whole": lambda fileset: fileset.write(WHOLE, NEW),
    "partial": lambda fileset: fileset.write(Roi((0, 0), (4, 4)), NEW[:, :4], status="all"),
}


@pytest.fixture(params=["none", "block"])
def fileset(tmp_path, request):
    description = FilesetDescription(
        axes="yx", shape=(4, 5), dtype="u1", block_shape=(4, 5), block_file_name_format="b{roiString}.h5/d"
    )
    made = BlockwiseFileset.create(
        tmp_path / "v.json", description, durability=request.param, lock_timeout_s=0.05
    )
    made.write(WHOLE, OLD)
    return made


def files(fileset):
    directory = Path(fileset.dataset_directory((0, 0)))
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def calls_in(directory, patch, fail_at, error):
    """Count the calls that change a file of the block, and have one of them fail.

    Those that make and remove locks are left out, but not those by which a lock becomes the status.
    """
    count = 0

    def spied(name, original):
        by_number = name in ("write", "writev", "pwrite", "fdatasync", "fsync")
        target = 1 if name in ("replace", "rename", "link") else 0

        def spy(*args, **kwargs):
            nonlocal count
            path = os.readlink(f"/proc/self/fd/{args[0]}") if by_number else str(args[target])
            if path.startswith(directory) and (".lock" not in path or name == "pwrite"):
                count += 1
                if count == fail_at:
                    raise error
            return original(*args, **kwargs)

        return spy

    for name in ("open", "write", "writev", "pwrite", "replace", "rename", "link", "fdatasync", "fsync"):
        patch.setattr(os, name, spied(name, getattr(os, name)))
    return lambda: count


def number_of_steps(fileset, write):
    with pytest.MonkeyPatch.context() as patch:
        counted = calls_in(fileset.dataset_directory((0, 0)), patch, 0, None)
        write(fileset)
        return counted()


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), SystemExit(3)], ids=repr
)
def test_a_failure_at_any_step_leaves_the_old_block_or_the_new_one(fileset, write, error):
    steps = number_of_steps(fileset, write)
    assert steps >= 5
    for step in range(1, steps + 1):
        fileset.write(WHOLE, OLD)
        before = files(fileset)
        with pytest.MonkeyPatch.context() as patch:
            calls_in(fileset.dataset_directory((0, 0)), patch, step, error)
            with pytest.raises(StorageError if isinstance(error, OSError) else type(error)):
                write(fileset)
        after = files(fileset)
        assert set(after) <= set(before), "something was left lying"
        file = next(name for name in before if name.endswith(".h5"))
        if after[file] == before[file]:
            assert after == before, f"step {step}: the rename has not happened, so nothing may differ"
        else:
            assert "STATUS.txt" not in after, f"step {step}: the new block was never marked"
        write(fileset)
        assert fileset.verify_block((0, 0)) is None


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_an_interrupt_at_any_line_leaves_no_wrong_block_and_the_next_write_goes_on(fileset, write):
    modules = {writer.__file__, image.__file__, atomic.__file__}
    line = 0
    while True:
        fileset.write(WHOLE, OLD)
        line += 1
        if not interrupted_at(line, modules, lambda: write(fileset)):
            break
        if fileset.block_status((0, 0)):
            assert fileset.verify_block((0, 0)) is None, f"line event {line}"
            assert set(np.unique(fileset.read(WHOLE))) in ({1}, {2}, {1, 2})
        write(fileset)
        assert fileset.verify_block((0, 0)) is None
        assert not [name for name in files(fileset) if ".partial" in name or ".lock" in name], line
    assert line > 30


def interrupted_at(number, modules, action):
    """Run `action`, raising KeyboardInterrupt at a line event of `modules`; False if it has fewer."""
    seen = 0

    def trace(frame, event, _arg):
        nonlocal seen
        code = frame.f_code
        if code.co_filename not in modules and code is not FileLock.release_as.__code__:
            return None
        if event == "line":
            seen += 1
            if seen == number:
                raise KeyboardInterrupt
        return trace

    former = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(former)
    return False


def test_a_lock_that_was_purged_while_writing_is_noticed_and_nothing_is_changed(fileset, monkeypatch):
    before = files(fileset)
    write_new = writer.write_new

    def purge_after(path, data, **options):
        write_new(path, data, **options)
        FileLock(path.split(".partial")[0]).purge()

    monkeypatch.setattr(writer, "write_new", purge_after)
    with pytest.raises(LockLost, match=r"\.h5\.lock"):
        fileset.write(WHOLE, NEW)
    assert files(fileset) == before


def test_a_lock_that_is_purged_after_the_status_was_dropped_gives_the_status_back(fileset, monkeypatch):
    before = files(fileset)
    rename = os.rename

    def purge_after(source, target):
        rename(source, target)
        next(Path(source).parent.glob("*.lock")).unlink()

    monkeypatch.setattr(os, "rename", purge_after)
    with pytest.raises(LockLost):
        fileset.write(WHOLE, NEW)
    assert files(fileset) == before


def test_a_status_is_not_put_back_under_another_writers_hands(fileset, monkeypatch):
    before = files(fileset)
    rename = os.rename

    def other_takes_over(source, target):
        rename(source, target)
        lock = next(Path(source).parent.glob("*.lock"))
        lock.unlink()
        lock.write_text("Owning process args:\n")

    monkeypatch.setattr(os, "rename", other_takes_over)
    with pytest.raises(LockLost):
        fileset.write(WHOLE, NEW)
    after = files(fileset)
    assert "STATUS.txt" not in after
    assert {name: content for name, content in after.items() if not name.endswith(".lock")} == {
        name: content for name, content in before.items() if name != "STATUS.txt"
    }


def test_partial_files_of_the_dead_go_with_the_next_write(fileset):
    directory = Path(fileset.dataset_directory((0, 0)))
    file = next(directory.glob("*.h5"))
    for name in (f"{file.name}.partial-dead", "STATUS.txt.partial-dead"):
        (directory / name).write_bytes(b"half")
    other = directory / "other.h5.partial-kept"
    other.touch()
    fileset.write(WHOLE, NEW)
    assert [name for name in files(fileset) if ".partial" in name] == [other.name]


def test_a_writer_that_lost_its_lock_to_another_does_not_touch_the_status(fileset, monkeypatch):
    before = files(fileset)
    write_new = writer.write_new

    def other_takes_over(path, data, **options):
        write_new(path, data, **options)
        lock = Path(path.split(".partial")[0] + ".lock")
        lock.unlink()
        lock.write_text("Owning process args:\n")

    monkeypatch.setattr(writer, "write_new", other_takes_over)
    with pytest.raises(LockLost):
        fileset.write(WHOLE, NEW)
    assert {name: content for name, content in files(fileset).items() if not name.endswith(".lock")} == before


def test_an_old_status_never_stands_over_a_new_block(fileset, monkeypatch):
    replace = os.replace

    def interrupted_after(source, target):
        replace(source, target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupted_after)
        with pytest.raises(KeyboardInterrupt):
            fileset.write(WHOLE, NEW)
    assert not fileset.block_status((0, 0))
    assert not [name for name in files(fileset) if ".partial" in name]


def test_synced_blocks_reach_the_medium_before_their_status(tmp_path, monkeypatch):
    description = FilesetDescription(
        axes="x", shape=(4,), dtype="u1", block_shape=(4,), block_file_name_format="b{roiString}.h5/d"
    )
    steps = []

    def noted(name, about):
        original = getattr(os, name)

        def spy(*args):
            steps.append((name, Path(about(args)).name.split(".partial")[0]))
            return original(*args)

        monkeypatch.setattr(os, name, spy)

    fileset = BlockwiseFileset.create(tmp_path / "v.json", description, durability="block")
    for name in ("fdatasync", "fsync"):
        noted(name, lambda args: os.readlink(f"/proc/self/fd/{args[0]}"))
    noted("replace", lambda args: args[1])
    fileset.write(Roi((0,), (4,)), np.ones(4, "u1"))
    file = "b([0], [4]).h5"
    assert steps == [
        ("fdatasync", file),
        ("replace", file),
        ("fsync", "x_00000000"),
        ("replace", "STATUS.txt"),
    ]
