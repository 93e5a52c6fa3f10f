import gc
import os
import subprocess
import sys
import textwrap
import threading
import weakref

import numpy as np
import pytest
from scipy import ndimage

from blockmill import (
    BigRequestStreamer,
    Engine,
    RoiRequestBatch,
    RoiRequestBatchCancelled,
    RoiRequestBatchError,
    RoiRequestBufferIter,
)
from blockmill.daemon.engine.job import JobSpec
from blockmill.shared.errors import EngineError, JobError, OutOfBounds
from blockmill.shared.geometry.grid import RoiList
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.messages import engine as wire
from blockmill.shared.volumes.base.memory import MemoryVolume

pytestmark = pytest.mark.processes
VOXELS = np.random.default_rng(3).integers(0, 255, (100, 100)).astype(np.uint8)
TILES = [Roi((y, x), (y + 10, x + 10)) for y in range(0, 100, 10) for x in range(0, 100, 10)]


@pytest.fixture(scope="module")
def engine():
    with Engine(2, preload=("scipy.ndimage",)) as made:
        yield made


def collect(request):
    """Run a request; the array of what came out, the rois in order, the progress."""
    out, rois, progress = np.zeros(VOXELS.shape, np.uint8), [], []

    def take(roi, array):
        start, stop = roi
        out[tuple(map(slice, start, stop))] = array
        rois.append(roi)

    request.result_signal.subscribe(take)
    request.progress_signal.subscribe(progress.append)
    request.execute()
    return out, rois, progress


def test_all_rois_come_back_right_with_their_progress(engine):
    batch = RoiRequestBatch(VOXELS, iter(TILES), VOXELS.size, batch_size=10, engine=engine)
    out, rois, progress = collect(batch)
    np.testing.assert_array_equal(out, VOXELS)
    assert sorted(rois) == sorted(TILES)
    assert progress == [0, *range(1, 101), 100]


def test_results_that_are_kept_outlive_the_jobs_that_follow_in_the_same_memory():
    results = []
    with Engine(2) as own:
        for value in range(4):
            batch = RoiRequestBatch(np.full((100, 100), value, np.uint8), TILES, batch_size=10, engine=own)
            batch.result_signal.subscribe(lambda roi, array: roi.start[1] < 50 and results.append(array))
            batch.execute()
    assert [set(array.ravel()) for array in results] == [{value} for value in range(4) for _ in range(50)]


def test_without_a_total_only_start_and_end_are_told(engine):
    assert collect(RoiRequestBatch(VOXELS, TILES[:5], engine=engine))[2] == [0, 100]


def test_callbacks_come_serially_in_the_calling_thread(engine):
    threads, inside = set(), threading.Lock()

    def check(roi, array):
        assert inside.acquire(blocking=False), "two callbacks at once"
        threads.add(threading.get_ident())
        inside.release()

    batch = RoiRequestBatch(VOXELS, TILES, batch_size=10, engine=engine)
    batch.result_signal.subscribe(check)
    batch.execute()
    assert threads == {threading.get_ident()}


def test_parallel_callbacks_overlap_where_allowed(engine):
    together = threading.Barrier(2, timeout=30)
    batch = RoiRequestBatch(VOXELS, TILES[:2], 200, batch_size=2, allow_parallel_results=True, engine=engine)
    progress = []
    batch.result_signal.subscribe(lambda roi, array: together.wait())
    batch.progress_signal.subscribe(progress.append)
    batch.execute()
    assert progress == [0, 50, 100, 100]


def test_rois_are_drawn_as_they_are_needed_in_the_calling_thread(engine):
    drawn, done = [], []

    def rois():
        for tile in TILES:
            assert threading.current_thread() is threading.main_thread()
            assert len(drawn) - len(done) < 3
            drawn.append(tile)
            yield tile

    batch = RoiRequestBatch(VOXELS, rois(), batch_size=3, engine=engine)
    batch.result_signal.subscribe(lambda roi, array: done.append(roi))
    batch.execute()
    assert sorted(done) == sorted(TILES)


@pytest.fixture
def quick_collections():
    """Collections look at what the test makes alone, not at the whole test run."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def test_results_are_let_go_as_they_are_handed_over(engine, quick_collections):
    alive, most = weakref.WeakSet(), [0]

    class Token:
        pass

    def count(roi, array):
        token = Token()
        alive.add(token)
        weakref.finalize(array.base, lambda keep: None, token)
        gc.collect()
        most[0] = max(most[0], len(alive))

    batch = RoiRequestBatch(VOXELS, TILES, batch_size=2, engine=engine)
    batch.result_signal.subscribe(count)
    batch.execute()
    gc.collect()
    assert most[0] <= 2
    assert len(alive) == 0


def test_a_kept_result_keeps_its_voxels(engine):
    results = []
    batch = RoiRequestBatch(VOXELS, TILES, batch_size=2, engine=engine)
    batch.result_signal.subscribe(lambda roi, array: results.append((roi, array[::2])))
    batch.execute()
    for roi, rows in results:
        np.testing.assert_array_equal(rows, VOXELS[roi.to_slice()][::2])


def test_a_callback_that_raises_ends_the_batch_with_its_exception_as_cause(engine):
    seen = []

    def fail(roi, array):
        seen.append(roi)
        raise KeyError("special")

    batch = RoiRequestBatch(VOXELS, TILES, batch_size=4, engine=engine)
    batch.result_signal.subscribe(fail)
    with pytest.raises(RoiRequestBatchError, match="special") as caught:
        batch.execute()
    assert isinstance(caught.value.__cause__, KeyError)
    assert len(seen) == 1


@pytest.mark.parametrize("parallel", [False, True])
def test_a_progress_callback_that_raises_ends_the_batch(engine, parallel):
    batch = RoiRequestBatch(VOXELS, TILES, VOXELS.size, allow_parallel_results=parallel, engine=engine)
    batch.progress_signal.subscribe(lambda percent: 1 / (50 - percent) if percent == 50 else None)
    with pytest.raises(RoiRequestBatchError) as caught:
        batch.execute()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_what_the_iterator_raises_comes_through_as_it_is(engine):
    def rois():
        yield TILES[0]
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        RoiRequestBatch(VOXELS, rois(), engine=engine).execute()


def test_a_block_that_fails_ends_the_batch_with_its_place_and_reason(engine):
    operation = {"python": {"function": "statistics:mean"}}
    batch = RoiRequestBatch(VOXELS, TILES[:1], operation=operation, engine=engine)
    with pytest.raises(RoiRequestBatchError, match=r"block \[0, 0\]-\[10, 10\]: TypeError: can't convert"):
        batch.execute()


def test_a_roi_outside_is_refused_by_name(engine):
    with pytest.raises(OutOfBounds, match=r"\[95, 0\]-\[105, 10\] leaves the volume"):
        RoiRequestBatch(VOXELS, [((95, 0), (105, 10))], engine=engine).execute()


def test_a_batch_of_nothing_is_done_at_once(engine):
    assert collect(RoiRequestBatch(VOXELS, [], engine=engine))[2] == [0, 100]


def test_an_engine_serves_on_after_a_failed_batch(engine):
    test_a_callback_that_raises_ends_the_batch_with_its_exception_as_cause(engine)
    test_all_rois_come_back_right_with_their_progress(engine)


@pytest.mark.parametrize(("alignment", "edges"), [("absolute", [10, 32]), ("relative", [10, 42])])
def test_blocks_are_aligned_as_asked(engine, alignment, edges):
    streamer = BigRequestStreamer(
        VOXELS, ([10, 0], [50, 100]), (32, 100), block_alignment=alignment, engine=engine
    )
    out, rois, _ = collect(streamer)
    assert sorted(roi.start[0] for roi in rois) == edges
    np.testing.assert_array_equal(out[10:50], VOXELS[10:50])


def test_the_documented_example_of_progress(engine):
    streamer = BigRequestStreamer(VOXELS, ((25, 65), (45, 95)), (10, 10), 2, "relative", engine=engine)
    assert collect(streamer)[2] == [0, 16, 33, 50, 66, 83, 100, 100]


def test_an_operation_reads_its_halo_across_blocks(engine):
    streamer = BigRequestStreamer(
        VOXELS, ((0, 0), VOXELS.shape), (17, 23), operation={"gaussian": {"sigma": 2}}, engine=engine
    )
    np.testing.assert_array_equal(collect(streamer)[0], ndimage.gaussian_filter(VOXELS, 2))


@pytest.mark.parametrize("kind", ["address", "volume", "memory volume"])
def test_any_volume_is_a_source(engine, tmp_path, kind):
    from blockmill import open_volume

    np.save(tmp_path / "in.npy", VOXELS)
    address = str(tmp_path / "in.npy")
    source = {
        "address": address,
        "volume": open_volume(address),
        "memory volume": MemoryVolume(VOXELS, axes="yx"),
    }[kind]
    streamer = BigRequestStreamer(source, ((0, 0), (100, 100)), engine=engine)
    np.testing.assert_array_equal(collect(streamer)[0], VOXELS)


def test_the_automatic_block_leaves_work_for_every_worker(engine):
    streamer = BigRequestStreamer(
        np.zeros((512, 512, 64), np.uint8), ((0, 0, 0), (512, 512, 64)), engine=engine
    )
    starts = []
    streamer.result_signal.subscribe(lambda roi, array: starts.append(roi.start))
    streamer.execute()
    assert len(starts) >= 4 * engine.workers


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"block_alignment": "sideways"}, "sideways"),
        ({"block_shape": (10,)}, r"block shape \[10\]"),
        ({"operation": "gausian"}, "gaussian"),
    ],
)
def test_nonsense_is_refused_before_anything_starts(arguments, message):
    with pytest.raises(JobError, match=message):
        BigRequestStreamer(VOXELS, ((0, 0), (10, 10)), **arguments)


def test_it_works_from_a_plain_script_and_leaves_no_process(tmp_path):
    script = tmp_path / "plain.py"
    script.write_text(
        textwrap.dedent(
            """
            import numpy as np, psutil
            print("script runs")
            from blockmill import BigRequestStreamer
            total = 0
            def add(roi, array):
                global total
                total += int(array.sum())
            streamer = BigRequestStreamer(np.ones((64, 64, 64), np.uint8), ([0, 0, 0], [64, 64, 64]))
            streamer.result_signal.subscribe(add)
            streamer.execute()
            print(total, len(psutil.Process().children(recursive=True)))
            """
        )
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == ["script runs", f"{64**3} 0"]
    assert done.stderr == ""


@pytest.mark.parametrize("parallel", [False, True])
def test_whatever_a_callback_raises_ends_the_batch(engine, parallel):
    batch = RoiRequestBatch(VOXELS, TILES, allow_parallel_results=parallel, engine=engine)
    batch.result_signal.subscribe(lambda roi, array: sys.exit(3))
    with pytest.raises(SystemExit):
        batch.execute()


def test_a_batch_that_failed_leaves_nothing_in_the_engine(engine):
    for _ in range(3):
        test_a_callback_that_raises_ends_the_batch_with_its_exception_as_cause(engine)
    assert engine._dispatcher._jobs == {}


def test_many_kept_results_need_few_open_files(engine):
    before = len(os.listdir("/proc/self/fd"))
    rois = [Roi((y, 0), (y + 1, 100)) for y in range(100)] * 10
    results = []
    batch = RoiRequestBatch(VOXELS, rois, batch_size=16, engine=engine)
    batch.result_signal.subscribe(lambda roi, array: results.append(array))
    batch.execute()
    assert len(results) == 1000
    assert len(os.listdir("/proc/self/fd")) - before < 30


def test_a_closed_engine_takes_no_more_jobs():
    made = Engine(1)
    made.close()
    made.close()
    with pytest.raises(EngineError, match="closed"):
        RoiRequestBatch(VOXELS, TILES, engine=made).execute()


def test_closing_an_engine_ends_the_batch_that_runs_on_it():
    made = Engine(1)
    batch = RoiRequestBatch(VOXELS, TILES, engine=made)
    batch.result_signal.subscribe(lambda roi, array: made.close())
    with pytest.raises(RoiRequestBatchError, match=r"cancelled|closed"):
        batch.execute()


def test_an_engine_that_cannot_start_says_so(monkeypatch):
    monkeypatch.setattr("blockmill.daemon.executors.local.run_dir.tempfile.mkdtemp", lambda **_: 1 / 0)
    made = Engine(1)
    with pytest.raises((EngineError, RoiRequestBatchError)):
        RoiRequestBatch(VOXELS, TILES, engine=made).execute()
    made.close()


def test_an_order_that_makes_no_sense_harms_no_other_job(engine):
    recipe = wire.Recipe(sources=(wire.Source("nothing.npy"),))
    bad = engine.submit(JobSpec(recipe=recipe, blocks=RoiList(TILES), block_timeout_s=-1.0))
    assert "block_timeout_s" in bad.next().cause
    test_all_rois_come_back_right_with_their_progress(engine)


def test_nobody_needs_to_guess_what_a_source_is(engine):
    with pytest.raises(JobError, match="a list is no source"):
        RoiRequestBatch([1, 2], TILES, engine=engine)


def test_results_come_in_the_order_of_the_rois_where_asked(engine):
    backwards = TILES[::-1]
    assert (
        collect(RoiRequestBatch(VOXELS, backwards, batch_size=8, engine=engine, ordered=True))[1] == backwards
    )


@pytest.mark.parametrize("parallel", [False, True])
def test_a_batch_is_cancelled_from_a_callback_and_calls_nothing_back_any_more(engine, parallel):
    seen = []
    batch = RoiRequestBatch(VOXELS, TILES, allow_parallel_results=parallel, batch_size=1, engine=engine)
    batch.result_signal.subscribe(lambda roi, array: (seen.append(roi), batch.cancel()))
    with pytest.raises(RoiRequestBatchCancelled):
        batch.execute()
    assert len(seen) == 1


def test_a_batch_that_is_to_finish_tries_every_roi_and_names_all_that_failed(engine):
    seen = []
    batch = RoiRequestBatch(
        VOXELS,
        TILES,
        operation={"python": {"function": "statistics:mean"}},
        engine=engine,
        on_error="finish",
        retries=0,
    )
    batch.result_signal.subscribe(lambda roi, array: seen.append(roi))
    with pytest.raises(RoiRequestBatchError) as caught:
        batch.execute()
    assert sorted(roi for roi, _ in caught.value.failures) == sorted(TILES)
    assert seen == []


def test_a_grid_is_executed_twice_and_a_used_up_iterator_is_refused(engine):
    streamer = BigRequestStreamer(VOXELS, ((0, 0), (100, 100)), (50, 50), engine=engine)
    assert collect(streamer)[2] == [0, 25, 50, 75, 100, 100]
    again = []
    streamer.progress_signal.subscribe(again.append)
    streamer.execute()
    assert again == [0, 25, 50, 75, 100, 100]
    batch = RoiRequestBatch(VOXELS, iter(TILES), engine=engine)
    batch.execute()
    with pytest.raises(JobError, match="used up"):
        batch.execute()


def test_slices_come_in_ascending_order_and_a_loop_may_end_early(engine):
    slices = RoiRequestBufferIter(VOXELS, 3, "y", engine=engine)
    progress = []
    slices.progress_signal.subscribe(progress.append)
    np.testing.assert_array_equal(np.concatenate(list(slices)), VOXELS)
    assert progress == [0, *range(1, 101), 100]
    loop = iter(slices)
    np.testing.assert_array_equal(next(loop), VOXELS[:1])
    loop.close()
    assert engine._dispatcher._jobs == {}


def test_a_slice_that_fails_raises_in_the_loop(engine):
    slices = RoiRequestBufferIter(
        VOXELS, 2, "y", operation={"python": {"function": "statistics:mean"}}, engine=engine
    )
    with pytest.raises(RoiRequestBatchError, match="TypeError"):
        next(iter(slices))


def test_axes_that_a_volume_was_given_hold_in_the_workers(engine, tmp_path):
    from blockmill.shared.volumes.npy import NpyVolume

    voxels = np.random.default_rng(5).random((4, 30, 30), np.float32)
    np.save(tmp_path / "in.npy", voxels)
    source, out = NpyVolume(tmp_path / "in.npy", axes="tyx"), np.zeros_like(voxels)
    streamer = BigRequestStreamer(source, operation={"gaussian": {"sigma": 2}}, engine=engine)
    streamer.result_signal.subscribe(lambda roi, array: out.__setitem__(roi.to_slice(), array))
    streamer.execute()
    np.testing.assert_array_equal(out, ndimage.gaussian_filter(voxels, (0, 2, 2)))


@pytest.mark.parametrize("roi", [None, ..., np.s_[:], np.s_[0:100, 0:100], ((0, 0), (100, 100))])
def test_all_of_a_source_may_be_said_in_several_ways(engine, roi):
    np.testing.assert_array_equal(collect(BigRequestStreamer(VOXELS, roi, engine=engine))[0], VOXELS)


def test_rois_of_a_batch_may_be_slicings(engine):
    out, rois, _ = collect(RoiRequestBatch(VOXELS, [np.s_[0:50], np.s_[50:, ...]], engine=engine))
    np.testing.assert_array_equal(out, VOXELS)
    assert sorted(rois) == [Roi((0, 0), (50, 100)), Roi((50, 0), (100, 100))]
    for roi, words in (((1, 2), "corners"), (((0, 0), (1, 65.5)), "65.5")):
        with pytest.raises(TypeError, match=words):
            RoiRequestBatch(VOXELS, [roi], engine=engine).execute()
        with pytest.raises(TypeError, match=words):
            BigRequestStreamer(VOXELS, roi, engine=engine)


@pytest.mark.parametrize("driver", [None, "core"])
def test_an_open_dataset_is_a_source(engine, tmp_path, driver):
    import h5py

    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["volume/data"] = VOXELS
    options = {"driver": "core", "backing_store": False} if driver else {}
    with h5py.File(tmp_path / "in.h5", "r", **options) as file:
        streamer = BigRequestStreamer(file["volume/data"], engine=engine)
        np.testing.assert_array_equal(collect(streamer)[0], VOXELS)
        slices = list(RoiRequestBufferIter(file["volume/data"], 2, "y", engine=engine))
        np.testing.assert_array_equal(np.concatenate(slices), VOXELS)


def test_an_operation_that_changes_the_shape_is_refused():
    volume = np.zeros((8, 8, 8), np.uint8)
    with pytest.raises(JobError, match=r"downsample changes the shape .* run it as a job"):
        RoiRequestBatch(volume, [([0, 0, 0], [8, 8, 8])], operation={"downsample": {"factor": 2}})


@pytest.mark.parametrize("parallel", [False, True])
def test_statistics_come_as_tables_of_each_roi_and_of_all(engine, parallel):
    tables = {}
    batch = RoiRequestBatch(
        VOXELS, TILES, operation="statistics", engine=engine, allow_parallel_results=parallel
    )
    batch.result_signal.subscribe(lambda roi, table: tables.update({tuple(map(tuple, roi)): table}))
    assert batch.table is None
    batch.execute()
    for start, stop in TILES:
        part = VOXELS[Roi(start, stop).to_slice()]
        table = tables[tuple(start), tuple(stop)]
        assert (table["count"], table["sum"], table["max"]) == (part.size, part.sum(), part.max())
    whole = np.concatenate([VOXELS[Roi(start, stop).to_slice()].ravel() for start, stop in TILES])
    assert (batch.table["count"], batch.table["sum"]) == (whole.size, whole.sum())
    assert batch.table["mean"] == whole.mean()
