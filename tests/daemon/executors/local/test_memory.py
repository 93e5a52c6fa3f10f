import hypothesis.strategies as st
from hypothesis import given

from blockmill.daemon.executors.local.memory import (
    MemoryGovernor,
    available_bytes,
    oom_kills,
    reserve_bytes,
    total_bytes,
)

GIB = 1 << 30
TOTAL = 16 * GIB


def allowed_workers(governor, now_s, free, rss, count=4):
    return governor.allowed(
        now_s,
        available_bytes=free,
        total_bytes=TOTAL,
        busy_rss_bytes=dict(enumerate(rss)),
        count=count,
    )


def test_with_memory_enough_all_may_be_busy():
    governor = MemoryGovernor()
    assert [allowed_workers(governor, now_s, 8 * GIB, [GIB] * 4) for now_s in range(5)] == [4] * 5


def test_it_falls_at_once_by_what_is_missing_and_rises_by_one_when_there_is_room():
    governor = MemoryGovernor()
    short = reserve_bytes(TOTAL) - GIB - 1  # more than one worker's worth is missing
    assert allowed_workers(governor, 0.0, short, [GIB] * 4) == 2
    assert allowed_workers(governor, 0.5, 8 * GIB, [GIB] * 2) == 2  # not yet calm
    assert allowed_workers(governor, 1.5, 8 * GIB, [GIB] * 2) == 3
    assert allowed_workers(governor, 1.6, 8 * GIB, [GIB] * 3) == 3
    assert allowed_workers(governor, 3.0, 8 * GIB, [GIB] * 3) == 4


def test_it_does_not_rise_where_another_worker_like_the_largest_would_not_fit():
    governor = MemoryGovernor()
    assert allowed_workers(governor, 0.0, 0, [3 * GIB] * 4) < 4
    allowed = allowed_workers(governor, 5.0, reserve_bytes(TOTAL) + 2 * GIB, [3 * GIB])
    assert allowed_workers(governor, 10.0, reserve_bytes(TOTAL) + 2 * GIB, [3 * GIB]) == allowed


def test_a_budget_bounds_the_sum_of_the_workers():
    governor = MemoryGovernor(budget_bytes=3 * GIB)
    assert allowed_workers(governor, 0.0, 12 * GIB, [GIB] * 4) == 3
    assert allowed_workers(governor, 5.0, 12 * GIB, [GIB] * 3) == 3


@given(
    st.lists(
        st.tuples(
            st.integers(0, TOTAL), st.lists(st.integers(1 << 20, 8 * GIB), max_size=8), st.integers(1, 8)
        ),
        max_size=40,
    ),
    st.sampled_from([None, GIB, 4 * GIB]),
)
def test_whatever_comes_one_worker_at_least_and_no_more_than_there_are(looks, budget):
    governor, before, of = MemoryGovernor(budget), None, 0
    for number, (free, rss, count) in enumerate(looks):
        allowed = allowed_workers(governor, float(number), free, rss[:count], count)
        assert 1 <= allowed <= count
        if before is not None:
            assert allowed <= before + 1 or before == of  # memory had held none back
        room = free - reserve_bytes(TOTAL)
        if room < 0 and before is not None:
            assert allowed <= before
        before, of = allowed, count


def test_more_workers_that_are_asked_for_may_be_busy_at_once_where_memory_held_none_back():
    governor = MemoryGovernor()
    assert allowed_workers(governor, 0.0, 8 * GIB, [GIB] * 2, count=2) == 2
    assert allowed_workers(governor, 0.5, 8 * GIB, [GIB] * 2, count=8) == 8
    assert allowed_workers(governor, 1.0, reserve_bytes(TOTAL) - GIB, [GIB] * 8, count=8) == 7
    assert allowed_workers(governor, 1.5, 8 * GIB, [GIB] * 7, count=16) == 7


def test_in_an_emergency_the_largest_goes_but_never_the_only_one():
    governor = MemoryGovernor()
    little = reserve_bytes(TOTAL) // 2 - 1

    def victim(free, busy):
        return governor.emergency(available_bytes=free, total_bytes=TOTAL, busy_rss_bytes=busy)

    assert victim(little, {1: 10, 2: 30, 3: 20}) == 2
    assert victim(little, {1: 10}) is None
    assert victim(little + 1, {1: 10, 2: 30}) is None


def test_the_machine_is_asked():
    assert 0 < available_bytes() <= total_bytes()
    assert oom_kills() >= 0
