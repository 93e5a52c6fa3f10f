"""The meaning of `Executor` as a test class, for everybody who writes an executor of their own.

Inherit from `ExecutorTests`, give `make`, and let pytest collect the class::

    class TestMyExecutor(ExecutorTests):
        def make(self):
            return MyExecutor(count=2)
"""

# The assert statements here are what a test is made of, not checks of input.
from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...shared.geometry.grid import BlockGrid
from ...shared.geometry.roi import Roi
from ...shared.messages.engine import Lease, Recipe, Source, TaskDone, TaskFailed
from .api import Answered, Died, Executor, ExecutorJob, News, NoRoom, Replacing, Resizable, Retiring, Up

_PATIENCE_S = 60.0
_SHAPE = (40, 6)
_BLOCK = (10, 6)


class Driven:
    """An executor that a test drives as an engine would.

    Parameters
    ----------
    executor : Executor
        Started.
    """

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.seen: list[News] = []
        self._wake = os.eventfd(0, os.EFD_NONBLOCK)

    def turn(self) -> None:
        """Take in the news of one wake-up, and send what waits."""
        self.executor.wait(self._wake, 0.05)
        self.seen += self.executor.news(time.monotonic())
        self.executor.flush()

    def until(self, done: Callable[[], bool]) -> None:
        """Turn until a condition holds."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while not done():
            assert time.monotonic() < deadline_s, f"it never came; seen: {self.seen}"
            self.turn()

    def up(self, count: int = 1) -> list[int]:
        """Wait until so many workers have come up, and return their numbers."""
        self.until(lambda: sum(isinstance(news, Up) for news in self.seen) >= count)
        return [news.worker for news in self.seen if isinstance(news, Up)]

    def replies(self) -> dict[Lease, TaskDone | TaskFailed]:
        """The answers so far."""
        answered = [news for news in self.seen if isinstance(news, Answered)]
        return {Lease(r.job, r.block, r.attempt): r for news in answered for r in news.replies}

    def deaths(self) -> list[Died]:
        """The deaths so far."""
        return [news for news in self.seen if isinstance(news, Died)]

    def assign(self, worker: int, *leases: Lease) -> None:
        """Assign blocks and send them."""
        for lease in leases:
            self.executor.assign(worker, lease, alone=False)
        self.executor.flush()

    def end(self) -> None:
        """End the workers."""
        self.executor.stop(time.monotonic())
        self.until(lambda: not self.executor.alive)
        os.close(self._wake)


class ExecutorTests:
    """What holds for every executor; `make` returns one of two workers, not started."""

    def make(self) -> Executor:
        """Return a new executor that keeps two workers."""
        raise NotImplementedError

    @contextlib.contextmanager
    def driven(self) -> Iterator[Driven]:
        """Start an executor, and end it."""
        executor = self.make()
        try:
            executor.start()
            driven = Driven(executor)
            yield driven
            driven.end()
        finally:
            executor.close()

    def copy_job(self, tmp_path: Path, name: str = "j1") -> tuple[ExecutorJob, NDArray]:
        """A job of four blocks whose results come back, and what it copies."""
        voxels = np.random.default_rng(3).integers(0, 200, _SHAPE, np.uint8)
        np.save(tmp_path / f"{name}.npy", voxels)
        recipe = Recipe(sources=(Source(str(tmp_path / f"{name}.npy")),))
        blocks = BlockGrid(Roi.from_shape(_SHAPE), _BLOCK)
        return ExecutorJob(name=name, recipe=recipe, blocks=blocks, result_dtype=voxels.dtype), voxels

    def test_as_many_workers_come_up_as_it_counts(self):
        """Each says so once."""
        with self.driven() as driven:
            workers = driven.up(2)
            assert len(set(workers)) == len(workers) == driven.executor.count == 2
            assert {info.worker for info in driven.executor.workers(time.monotonic())} == set(workers)

    def test_blocks_come_back_with_their_voxels(self, tmp_path):
        """The results of all blocks together are the input."""
        job, voxels = self.copy_job(tmp_path)
        with self.driven() as driven:
            first, second = driven.up(2)
            driven.executor.add_job(job)
            driven.assign(first, Lease("j1", 0, 1), Lease("j1", 1, 1))
            driven.assign(second, Lease("j1", 3, 1), Lease("j1", 2, 1))
            driven.until(lambda: len(driven.replies()) == 4)
            assert [r for r in driven.replies().values() if isinstance(r, TaskFailed)] == []
            results = [driven.executor.take_result("j1", block) for block in range(4)]
            driven.executor.end_job("j1")
            np.testing.assert_array_equal(np.concatenate(results), voxels)

    def test_a_worker_answers_in_the_order_of_its_tasks(self, tmp_path):
        """The engine relies on it to know which task a worker is in."""
        job, _ = self.copy_job(tmp_path)
        leases = [Lease("j1", block, 1) for block in (2, 0, 3, 1)]
        with self.driven() as driven:
            worker = driven.up()[0]
            driven.executor.add_job(job)
            driven.assign(worker, *leases)
            driven.until(lambda: len(driven.replies()) == 4)
            assert list(driven.replies()) == leases

    def test_a_block_that_fails_is_an_answer_too(self, tmp_path):
        """And the worker goes on."""
        job, _ = self.copy_job(tmp_path)
        (tmp_path / "j1.npy").unlink()
        with self.driven() as driven:
            worker = driven.up()[0]
            driven.executor.add_job(job)
            driven.assign(worker, Lease("j1", 0, 1))
            driven.until(lambda: len(driven.replies()) == 1)
            (reply,) = driven.replies().values()
            assert isinstance(reply, TaskFailed) and "j1.npy" in reply.error
            driven.executor.drop_result("j1", 0)
            self.copy_job(tmp_path)
            driven.assign(worker, Lease("j1", 0, 2))
            driven.until(lambda: len(driven.replies()) == 2)
            assert isinstance(driven.replies()[Lease("j1", 0, 2)], TaskDone)
            assert driven.deaths() == []

    def test_a_killed_worker_dies_once_and_another_one_comes(self, tmp_path):
        """Its tasks are answered before its death, or never."""
        job, voxels = self.copy_job(tmp_path)
        with self.driven() as driven:
            first, second = driven.up(2)
            driven.executor.add_job(job)
            for block in range(4):
                driven.executor.assign(first, Lease("j1", block, 1), alone=False)
            driven.executor.kill(first, "a test wants it", 0)
            driven.up(3)
            driven.until(lambda: len(driven.deaths()) == 1)
            (death,) = driven.deaths()
            assert death.worker == first and death.was_up and "a test wants it" in death.reason
            before = len(driven.replies())
            driven.assign(second, Lease("j1", 0, 2))
            driven.until(lambda: len(driven.replies()) > before)
            assert len(driven.deaths()) == 1
            np.testing.assert_array_equal(driven.executor.take_result("j1", 0), voxels[:10])

    def test_a_result_outlives_its_worker_its_job_and_the_executor(self, tmp_path):
        """Whoever has the array may keep it."""
        job, voxels = self.copy_job(tmp_path)
        with self.driven() as driven:
            worker = driven.up()[0]
            driven.executor.add_job(job)
            driven.assign(worker, Lease("j1", 1, 1))
            driven.until(lambda: len(driven.replies()) == 1)
            driven.executor.kill(worker, "a test wants it", 0)
            driven.until(lambda: len(driven.deaths()) == 1)
            result = driven.executor.take_result("j1", 1)
            driven.executor.end_job("j1")
        np.testing.assert_array_equal(result, voxels[10:20])

    def test_a_result_that_is_kept_is_not_overwritten_by_the_next_job(self, tmp_path):
        """Memory serves again only when nobody looks at it."""
        with self.driven() as driven:
            worker = driven.up()[0]
            kept, expected = [], []
            for name in ("j1", "j2", "j3"):
                job, voxels = self.copy_job(tmp_path, name)
                driven.executor.add_job(job)
                before = len(driven.replies())
                driven.assign(worker, Lease(name, 2, 1))
                driven.until(lambda before=before: len(driven.replies()) > before)
                kept.append(driven.executor.take_result(name, 2))
                expected.append(voxels[20:30])
                driven.executor.end_job(name)
            np.testing.assert_array_equal(kept, expected)

    def test_a_result_without_room_is_refused_and_nothing_is_assigned(self, tmp_path):
        """Other jobs go on."""
        job, _ = self.copy_job(tmp_path)
        vast = (1 << 30, 1 << 30)
        blocks = BlockGrid(Roi.from_shape(vast), vast)
        huge = ExecutorJob(name="j2", recipe=job.recipe, blocks=blocks, result_dtype=np.dtype(np.float64))
        with self.driven() as driven:
            worker = driven.up()[0]
            driven.executor.add_job(job)
            driven.executor.add_job(huge)
            with contextlib.suppress(NoRoom):
                driven.executor.assign(worker, Lease("j2", 0, 1), alone=False)
                raise AssertionError("an exabyte was found")
            driven.assign(worker, Lease("j1", 0, 1))
            driven.until(lambda: len(driven.replies()) == 1)
            assert list(driven.replies()) == [Lease("j1", 0, 1)]

    def test_a_job_may_end_in_the_turn_of_its_assignment(self, tmp_path):
        """As if it had been cancelled before anything was sent."""
        job, _ = self.copy_job(tmp_path)
        other, voxels = self.copy_job(tmp_path, "j2")
        with self.driven() as driven:
            worker = driven.up()[0]
            driven.executor.add_job(job)
            driven.executor.assign(worker, Lease("j1", 0, 1), alone=False)
            driven.executor.end_job("j1")
            driven.executor.add_job(other)
            driven.assign(worker, Lease("j2", 0, 1))
            driven.until(lambda: Lease("j2", 0, 1) in driven.replies())
            assert list(driven.replies()) == [Lease("j2", 0, 1)]
            np.testing.assert_array_equal(driven.executor.take_result("j2", 0), voxels[:10])

    def test_workers_retire_and_come_if_their_number_may_change(self):
        """A retiring worker is told of before it ends, and is not replaced."""
        with self.driven() as driven:
            driven.up(2)
            if not isinstance(driven.executor, Resizable):
                return
            driven.executor.set_count(1)
            driven.until(lambda: len(driven.deaths()) == 1)
            retiring = [news.worker for news in driven.seen if isinstance(news, Retiring)]
            assert retiring == [driven.deaths()[0].worker]
            driven.executor.set_count(3)
            driven.up(4)
            assert len(driven.executor.workers(time.monotonic())) == 3

    def test_a_worker_that_is_replaced_does_its_tasks_first(self, tmp_path):
        """And a fresh one comes, which can be assigned blocks."""
        job, voxels = self.copy_job(tmp_path)
        with self.driven() as driven:
            worker = driven.up(2)[0]
            executor = driven.executor
            if not isinstance(executor, Replacing):
                return
            executor.add_job(job)
            driven.assign(worker, *(Lease("j1", block, 1) for block in range(3)))
            executor.replace(worker)
            fresh = driven.up(3)[2]
            driven.until(lambda: bool(driven.deaths()))
            assert [death.worker for death in driven.deaths()] == [worker]
            assert len(driven.replies()) == 3
            driven.assign(fresh, Lease("j1", 3, 1))
            driven.until(lambda: len(driven.replies()) == 4)
            results = [executor.take_result("j1", block) for block in range(4)]
            np.testing.assert_array_equal(np.concatenate(results), voxels)

    def test_nothing_is_up_after_the_stop(self):
        """All workers are told of as dead."""
        with self.driven() as driven:
            workers = driven.up(2)
            driven.executor.stop(time.monotonic())
            driven.until(lambda: not driven.executor.alive)
            driven.turn()
            assert {death.worker for death in driven.deaths()} == set(workers)
