import itertools
import os
import subprocess
import sys

import numpy as np
import pytest

from blockmill.shared.memory.arena import Arena, Arenas, Segment, attach_array, share_array


@pytest.fixture
def arena():
    made = Arena(itertools.count(), slots_per_segment=2)
    yield made
    made.close()


def test_a_slot_is_free_again_when_no_view_of_its_result_lives(arena):
    slot = arena.take(100)
    result = arena.result(slot, (5, 10), np.dtype(np.uint16))
    view = result[1:3][:, ::2]
    buffer = memoryview(view.T)
    del result, view
    assert slot not in [arena.take(100) for _ in range(4)]
    del buffer
    assert arena.take(100) == slot


def test_a_kept_result_is_not_overwritten(arena):
    kept = []
    for value in range(10):
        result = arena.result(arena.take(64), (8, 8), np.dtype(np.uint8))
        result[...] = value
        kept.append(result)
    assert [int(r.min()) for r in kept] == [int(r.max()) for r in kept] == list(range(10))


def test_results_that_are_let_go_reuse_the_same_memory(arena):
    for _ in range(50):
        arena.result(arena.take(64), (64,), np.dtype(np.uint8))
    assert len(arena.segments) == 1


def test_larger_results_get_larger_slots(arena):
    arena.give_back(arena.take(10))
    slot = arena.take(100_000)
    assert slot.nbytes >= 100_000
    assert arena.take(10).nbytes >= 10


def test_the_next_job_has_the_memory_of_the_last_one():
    arenas = Arenas(itertools.count())
    first = arenas.take(1000)
    slot = first.take(1000)
    kept = first.result(slot, (1000,), np.dtype(np.uint8))
    kept[...] = 7
    assert arenas.give_back(first, keep=True) == []
    second = arenas.take(900)
    assert second is first
    taken = [second.take(900) for _ in range(10)]
    assert slot not in taken, "somebody still looks at it"
    assert kept.tolist() == [7] * 1000
    assert arenas.take(900) is not second, "a job that runs beside it has its own"


def test_memory_that_does_not_suit_waits_until_another_takes_its_place():
    arenas = Arenas(itertools.count())
    small, large = arenas.take(100), arenas.take(100_000)
    small.take(100)
    numbers = list(small.segments)
    arenas.give_back(small, keep=True)
    assert arenas.take(100_000) is not small and arenas.take(1) is small
    arenas.give_back(small, keep=True)
    large.take(100_000)
    assert arenas.give_back(large, keep=True) == numbers and not small.segments
    assert arenas.take(1) is not large, "most of its slots would be empty"


def test_much_memory_or_that_of_somebody_else_is_not_kept():
    arenas = Arenas(itertools.count())
    much = arenas.take(65 << 18)
    much.take(65 << 18)
    assert arenas.give_back(much, keep=True) and not much.segments
    private = arenas.take(10)
    private.take(10)
    assert arenas.give_back(private, keep=False) and not private.segments


def test_a_result_outlives_the_arena():
    arena = Arena(itertools.count())
    result = arena.result(arena.take(8), (8,), np.dtype(np.uint8))
    result[...] = 7
    arena.close()
    assert result.tolist() == [7] * 8


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=">u2").reshape(2, 3, 4),
        np.arange(24).reshape(4, 6)[:, ::2],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([1 + 2j, 3]),
        np.array(5),
        np.zeros((0, 3)),
    ],
    ids=["other byte order", "a view", "Fortran order", "complex", "no axes", "empty"],
)
def test_a_shared_array_is_equal_to_its_source(array):
    segment, shared = share_array(array, "tzyx")
    np.testing.assert_array_equal(attach_array(shared), array)
    segment.close()


def test_a_copy_that_is_interrupted_leaves_no_memory(monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "pwrite", interrupted)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(KeyboardInterrupt):
        share_array(np.ones(8), "x")
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_another_process_reads_and_writes_a_shared_array():
    segment, shared = share_array(np.arange(6, dtype="<i4").reshape(2, 3), "yx")
    script = (
        "import sys\nfrom blockmill.shared.memory.arena import attach_array\n"
        "from blockmill.shared.messages.engine import SharedArray\n"
        "array = attach_array(SharedArray(sys.argv[1], (2, 3), '<i4', 'yx')); array *= 10; print(array.sum())"
    )
    done = subprocess.run([sys.executable, "-c", script, shared.path], capture_output=True, check=True)
    assert int(done.stdout) == 150
    assert attach_array(shared).tolist() == [[0, 10, 20], [30, 40, 50]]
    segment.close()


def test_memory_that_others_have_opened_can_not_be_cut_short():
    """Whoever reads it would be killed by SIGBUS, the service by the worker of any user."""
    segment = Segment(4096)
    fd = os.open(segment.path, os.O_RDWR)
    for size in (0, 1, 8192):
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size)
    os.close(fd)
    segment.close()
