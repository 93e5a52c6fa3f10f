"""Batches, streamers and slices where blocks fail, hang, kill their workers, or are called off."""

import gc
import os
import sys
import textwrap
import threading
import weakref

import numpy as np
import pytest

from blockmill import (
    BigRequestStreamer,
    Engine,
    RoiRequestBatch,
    RoiRequestBatchCancelled,
    RoiRequestBatchError,
    RoiRequestBufferIter,
)
from blockmill.client.library import streamer as streamer_module
from blockmill.shared.errors import JobError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.volumes.base.memory import MemoryVolume

pytestmark = pytest.mark.processes
VOXELS = np.random.default_rng(4).integers(0, 255, (12, 40)).astype(np.uint8)
WHOLE = Roi.from_shape(VOXELS.shape)
ROWS = [Roi((y, 0), (y + 1, 40)) for y in range(12)]
STEPS = """
    import os, time
    from pathlib import Path

    def note(context, folder):
        path = Path(folder)
        row = context.roi.start[0]
        number = len(list(path.glob(f"row{row}-*")))
        (path / f"row{row}-{number}").touch()
        return row, number

    def fails_twice(block, context, folder, rows):
        row, number = note(context, folder)
        if row in rows and number < 2:
            raise ValueError(f"row {row}, attempt {number}")
        return block

    def fails(block, context, folder, rows):
        row, _ = note(context, folder)
        if row in rows:
            raise ValueError(f"row {row} never works")
        return block

    def hangs_once(block, context, folder, rows):
        row, number = note(context, folder)
        while row in rows and number == 0:
            time.sleep(0.01)
        return block

    def hangs(block, context, folder, rows):
        row, _ = note(context, folder)
        while row in rows:
            time.sleep(0.01)
        return block

    def dies_once(block, context, folder, rows):
        row, number = note(context, folder)
        if row in rows and number == 0:
            os.kill(os.getpid(), 9)
        return block

    def dies(block, context, folder, rows):
        row, _ = note(context, folder)
        if row in rows:
            os.kill(os.getpid(), 9)
        return block
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("code")
    (folder / "request_steps.py").write_text(textwrap.dedent(STEPS))
    sys.path.insert(0, str(folder))
    try:
        with Engine(2) as made:
            yield made
    finally:
        sys.path.remove(str(folder))


@pytest.fixture
def step(tmp_path):
    def named(function, *rows):
        args = {"folder": str(tmp_path), "rows": list(rows)}
        return {"python": {"function": f"request_steps:{function}", "args": args}}

    return named


@pytest.fixture
def attempts(tmp_path):
    return lambda row: len(list(tmp_path.glob(f"row{row}-*")))


def rows_of(batch):
    """Run a batch; the first rows of what was handed over, or the error that ended it, and both."""
    rows, out = [], np.zeros_like(VOXELS)

    def take(roi, array):
        rows.append(roi.start[0])
        out[roi.to_slice()] = array

    batch.result_signal.subscribe(take)
    try:
        batch.execute()
    except RoiRequestBatchError as error:
        return rows, out, error
    return rows, out, None


def batch_of(engine, operation, **options):
    return RoiRequestBatch(VOXELS, ROWS, VOXELS.size, operation=operation, engine=engine, **options)


def test_a_block_that_fails_is_tried_again_and_handed_over_once(engine, step, attempts):
    rows, out, error = rows_of(batch_of(engine, step("fails_twice", 3, 7), retries=2))
    assert error is None
    assert sorted(rows) == list(range(12))
    np.testing.assert_array_equal(out, VOXELS)
    assert (attempts(3), attempts(7), attempts(5)) == (3, 3, 1)


@pytest.mark.parametrize("retries", [0, 1])
def test_no_more_attempts_are_made_than_were_allowed(engine, step, attempts, retries):
    _, _, error = rows_of(batch_of(engine, step("fails_twice", 0), retries=retries))
    assert f"row 0, attempt {retries}" in str(error)
    assert attempts(0) == retries + 1


def test_a_block_that_hangs_is_ended_after_its_time_and_done_by_another_worker(engine, step, attempts):
    _, out, error = rows_of(batch_of(engine, step("hangs_once", 2), block_timeout_s=1.0))
    assert error is None
    np.testing.assert_array_equal(out, VOXELS)
    assert attempts(2) == 2


def test_a_block_that_always_hangs_is_given_up_by_name(engine, step):
    batch = batch_of(engine, step("hangs", 2), block_timeout_s=0.5, retries=0, on_error="finish")
    rows, _, error = rows_of(batch)
    assert sorted(rows) == [row for row in range(12) if row != 2]
    assert [roi for roi, _ in error.failures] == [ROWS[2]]
    assert "0.5 s" in error.failures[0][1]


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("kind", ["fails", "dies"])
def test_a_batch_that_is_to_finish_hands_over_all_that_succeed(engine, step, kind, parallel):
    batch = batch_of(
        engine, step(kind, 1, 8), retries=0, on_error="finish", allow_parallel_results=parallel, batch_size=4
    )
    rows, out, error = rows_of(batch)
    finished = [row for row in range(12) if row not in (1, 8)]
    assert sorted(rows) == finished
    np.testing.assert_array_equal(out[finished], VOXELS[finished])
    assert sorted(roi for roi, _ in error.failures) == [ROWS[1], ROWS[8]]


def test_a_batch_that_is_to_finish_tells_no_more_progress_than_was_made(engine, step):
    batch, progress = batch_of(engine, step("fails", 0, 1, 2), retries=0, on_error="finish"), []
    batch.progress_signal.subscribe(progress.append)
    rows_of(batch)
    assert progress == [0, 8, 16, 25, 33, 41, 50, 58, 66, 75]


def test_a_worker_that_dies_costs_a_batch_nothing_but_an_attempt(engine, step, attempts):
    rows, out, error = rows_of(batch_of(engine, step("dies_once", 0, 5), batch_size=4))
    assert error is None
    assert sorted(rows) == list(range(12))
    np.testing.assert_array_equal(out, VOXELS)
    assert (attempts(0), attempts(5)) == (2, 2)


def test_a_block_that_kills_its_workers_ends_a_batch(engine, step):
    _, _, error = rows_of(batch_of(engine, step("dies", 4), retries=1))
    assert [roi for roi, _ in error.failures] == [ROWS[4]]


def test_a_worker_that_dies_costs_the_iterator_nothing_but_an_attempt(engine, step, attempts):
    slices = RoiRequestBufferIter(VOXELS, 3, "y", operation=step("dies_once", 0, 6), engine=engine)
    np.testing.assert_array_equal(np.concatenate(list(slices)), VOXELS)
    assert (attempts(0), attempts(6), attempts(7)) == (2, 2, 1)


def test_a_slice_that_kills_its_workers_raises_in_the_loop_and_none_is_left_out(engine, step):
    slices = RoiRequestBufferIter(VOXELS, 2, "y", operation=step("dies", 5), engine=engine, retries=0)
    got = []
    with pytest.raises(RoiRequestBatchError) as caught:
        got.extend(iter(slices))
    assert [roi for roi, _ in caught.value.failures] == [ROWS[5]]
    np.testing.assert_array_equal(np.concatenate(got) if got else VOXELS[:0], VOXELS[: len(got)])
    assert len(got) <= 5


def test_a_slice_that_hangs_is_ended_after_its_time(engine, step, attempts):
    operation = step("hangs_once", 4)
    slices = RoiRequestBufferIter(VOXELS, 3, "y", operation=operation, engine=engine, block_timeout_s=1.0)
    np.testing.assert_array_equal(np.concatenate(list(slices)), VOXELS)
    assert attempts(4) == 2


def test_another_thread_cancels_a_batch_whose_blocks_hang(engine, step, tmp_path):
    batch, begun = batch_of(engine, step("hangs", *range(2, 12)), batch_size=2), threading.Event()

    def cancel():
        begun.wait(60)
        batch.cancel()

    def take(roi, array):
        if roi.start[0] == 1:
            begun.set()

    batch.result_signal.subscribe(take)
    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(RoiRequestBatchCancelled):
        batch.execute()
    thread.join()
    assert engine._dispatcher._jobs == {}
    rows, _, error = rows_of(batch_of(engine, None))  # the workers are free again
    assert (len(rows), error) == (12, None)


def test_a_batch_that_was_cancelled_before_it_ran_calls_nothing_back(engine):
    batch, seen = batch_of(engine, None), []
    batch.result_signal.subscribe(lambda roi, array: seen.append(roi))
    batch.cancel()
    with pytest.raises(RoiRequestBatchCancelled):
        batch.execute()
    assert seen == []
    with pytest.raises(RoiRequestBatchCancelled):
        batch.execute()


@pytest.mark.parametrize("at", [0, 100])
def test_a_progress_callback_that_raises_at_either_end_is_the_cause(engine, at):
    batch, seen = batch_of(engine, None), []

    def fail(percent):
        if percent == at:
            raise KeyError("progress")

    batch.result_signal.subscribe(lambda roi, array: seen.append(roi))
    batch.progress_signal.subscribe(fail)
    with pytest.raises(RoiRequestBatchError, match="progress callback") as caught:
        batch.execute()
    assert isinstance(caught.value.__cause__, KeyError)
    assert len(seen) == (0 if at == 0 else 12)
    assert engine._dispatcher._jobs == {}


@pytest.mark.parametrize("at", [0, 100])
def test_a_progress_callback_of_the_iterator_that_raises_at_either_end_is_the_cause(engine, at):
    slices, got = RoiRequestBufferIter(VOXELS, 3, "y", engine=engine), []
    slices.progress_signal.subscribe(lambda percent: 1 // (percent - at))
    with pytest.raises(RoiRequestBatchError, match="progress callback") as caught:
        got.extend(iter(slices))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert engine._dispatcher._jobs == {}


class Living:
    """Counts the results that are alive, by finalizers on what owns their memory."""

    def __init__(self):
        self.now, self.most, self.lock = set(), 0, threading.Lock()

    def count(self, array):
        token = object()
        with self.lock:
            self.now.add(id(token))
            self.most = max(self.most, len(self.now))
        weakref.finalize(array.base, self._forget, token)

    def _forget(self, token):
        with self.lock:
            self.now.discard(id(token))


@pytest.mark.parametrize("batch_size", [1, 3])
def test_parallel_callbacks_see_no_more_results_alive_than_the_batch_is_large(engine, batch_size):
    living, small = Living(), [Roi((y, x), (y + 1, x + 4)) for y in range(12) for x in range(0, 40, 4)]
    batch = RoiRequestBatch(VOXELS, small, batch_size=batch_size, allow_parallel_results=True, engine=engine)
    batch.result_signal.subscribe(lambda roi, array: living.count(array))
    batch.execute()
    gc.collect()
    assert 1 <= living.most <= batch_size
    assert living.now == set()


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_iterator_has_no_more_slices_alive_than_it_may(engine, batch_size):
    living = Living()
    for array in RoiRequestBufferIter(VOXELS, batch_size, "y", engine=engine):
        living.count(array)
        del array
    gc.collect()
    assert 1 <= living.most <= batch_size
    assert living.now == set()


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_iterator_computes_no_further_ahead_than_it_may(engine, step, tmp_path, batch_size):
    slices = RoiRequestBufferIter(VOXELS, batch_size, "y", operation=step("fails"), engine=engine)
    for given_back, _ in enumerate(slices):
        assert len(list(tmp_path.glob("row*"))) <= given_back + batch_size


@pytest.mark.parametrize("ordered", [False, True])
def test_a_batch_computes_no_more_than_its_size_ahead_of_its_callbacks(engine, step, tmp_path, ordered):
    batch, returned = batch_of(engine, step("fails"), batch_size=3, ordered=ordered), []

    def take(roi, array):
        assert len(list(tmp_path.glob("row*"))) <= len(returned) + 3
        returned.append(roi)

    batch.result_signal.subscribe(take)
    batch.execute()
    assert len(returned) == 12


@pytest.mark.parametrize("made", [BigRequestStreamer, RoiRequestBatch, RoiRequestBufferIter])
def test_a_batch_of_no_size_is_refused_everywhere(made):
    arguments = {
        BigRequestStreamer: (VOXELS, WHOLE),
        RoiRequestBatch: (VOXELS, ROWS),
        RoiRequestBufferIter: (VOXELS,),
    }
    options = {"batch_size": 0} | ({"iterate_axes": "y"} if made is RoiRequestBufferIter else {})
    with pytest.raises(JobError, match="batch_size 0"):
        made(*arguments[made], **options)


class OneBlock(MemoryVolume):
    """A volume that is stored as a single block."""

    @property
    def block_shape(self):
        return self.shape


def blocks_of(streamer):
    rois, voxels = [], {}

    def take(roi, array):
        rois.append(roi)
        voxels[roi] = array.copy()

    streamer.result_signal.subscribe(take)
    streamer.execute()
    return rois, voxels


def test_a_storage_block_that_would_leave_workers_idle_is_split(engine):
    array = np.random.default_rng(1).integers(0, 255, (160, 160, 160), dtype=np.uint8)
    rois, voxels = blocks_of(
        BigRequestStreamer(OneBlock(array, axes="zyx"), Roi.from_shape(array.shape), engine=engine)
    )
    assert len(rois) >= 2 * engine.workers
    assert sum(roi.volume for roi in rois) == array.size
    for roi in rois:
        np.testing.assert_array_equal(voxels[roi], array[roi.to_slice()])


def test_a_storage_block_that_is_too_large_for_a_worker_is_split_until_it_fits(engine, monkeypatch):
    monkeypatch.setattr(streamer_module, "default_memory_bytes", lambda workers: 4096)
    array = np.random.default_rng(1).integers(0, 255, (32, 32, 32), dtype=np.uint8)
    rois, _ = blocks_of(
        BigRequestStreamer(OneBlock(array, axes="zyx"), Roi.from_shape(array.shape), engine=engine)
    )
    assert max(roi.volume for roi in rois) <= 4096
    assert min(roi.volume for roi in rois) >= 256
    assert sum(roi.volume for roi in rois) == array.size


def test_a_small_storage_block_is_left_whole(engine):
    source = OneBlock(VOXELS, axes="yx")
    assert blocks_of(BigRequestStreamer(source, WHOLE, engine=engine))[0] == [WHOLE]


def test_a_streamer_that_fails_names_the_block_and_leaves_no_file_open(engine, step):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        streamer = BigRequestStreamer(
            VOXELS, WHOLE, (1, 40), operation=step("fails", 3), engine=engine, retries=0
        )
        _, _, error = rows_of(streamer)
        assert [roi for roi, _ in error.failures] == [ROWS[3]]
    assert len(os.listdir("/proc/self/fd")) - before < 10
