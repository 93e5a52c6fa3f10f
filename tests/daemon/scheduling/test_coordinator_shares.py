"""Whose turn it is, and what runs beside it: shares, memory, quarantine, probes."""

from collections import Counter

import hypothesis.strategies as st
import pytest
from hypothesis import given

from blockmill.daemon.scheduling import events as ev
from blockmill.daemon.scheduling.coordinator import Coordinator


def pool_of(count):
    core = Coordinator(least_credit=1)
    for number in range(count):
        core.handle(ev.Ready(number))
    return core


def only(kind, actions):
    return [action for action in actions if type(action) is kind]


def done(lease, seconds=1.0):
    return ev.Done(lease.worker, lease.job, lease.block, lease.attempt, seconds)


def lost(lease, memory=False):
    return ev.Lost(lease.worker, "died", memory=memory)


def serve(core, leases, count, seconds):
    """Answer `count` leases, the oldest first; each block takes what `seconds` says of its job."""
    leases, order = list(leases), []
    for _ in range(count):
        lease = leases.pop(0)
        order.append(lease.job)
        leases += only(ev.Assign, core.handle(done(lease, seconds[lease.job])))
    return order, leases


@given(st.integers(1, 5), st.floats(0.2, 5.0), st.floats(0.2, 5.0))
def test_owners_get_the_same_time_whatever_their_blocks_take(workers, ann_s, ben_s):
    core = pool_of(workers)
    leases = core.handle(ev.Submit("a", 2000, owner="ann"))
    leases += core.handle(ev.Submit("b", 2000, owner="ben"))
    order, _ = serve(core, leases, 400, {"a": ann_s, "b": ben_s})
    used = Counter(order)
    difference_s = abs(used["a"] * ann_s - used["b"] * ben_s)
    assert difference_s <= (workers + 2) * (ann_s + ben_s)


def test_an_owner_with_many_jobs_gets_no_more_than_one_with_one():
    core = pool_of(2)
    leases = []
    for number in range(9):
        leases += core.handle(ev.Submit(f"a{number}", 1000, owner="ann"))
    leases += core.handle(ev.Submit("b", 1000, owner="ben"))
    order, _ = serve(
        core, only(ev.Assign, leases), 200, Counter({"b": 1.0} | {f"a{n}": 1.0 for n in range(9)})
    )
    assert 95 <= order.count("b") <= 105


def test_an_owner_who_rested_has_not_saved_up():
    core = pool_of(1)
    leases = core.handle(ev.Submit("a", 5000, owner="ann"))
    _, leases = serve(core, leases, 1000, {"a": 1.0})
    assert core.handle(ev.Submit("b", 1000, owner="ben")) == []
    order, _ = serve(core, leases, 100, {"a": 1.0, "b": 1.0})
    assert 40 <= order.count("b") <= 60


def test_a_small_job_goes_before_a_big_one_of_the_same_owner():
    core = pool_of(2)
    leases = core.handle(ev.Submit("big", 1_000_000, owner="ann"))
    assert core.handle(ev.Submit("small", 3, owner="ann")) == []
    order, _ = serve(core, leases, 6, {"big": 1.0, "small": 1.0})
    assert order == ["big", "big", "small", "small", "small", "big"]


def test_priority_goes_before_size_and_share_and_can_be_changed():
    core = pool_of(1)
    leases = core.handle(ev.Submit("a", 100, owner="ann"))
    core.handle(ev.Submit("b", 1, owner="ben"))
    core.handle(ev.Submit("c", 50, owner="ann", priority=1))
    (lease,) = only(ev.Assign, core.handle(done(leases[0])))
    assert lease.job == "c"
    assert core.handle(ev.Reprioritise("a", 2)) == []
    (lease,) = only(ev.Assign, core.handle(done(lease)))
    assert lease.job == "a"
    core.handle(ev.Reprioritise("a", -1))
    (lease,) = only(ev.Assign, core.handle(done(lease)))
    assert lease.job == "c"


def test_draining_can_be_taken_back():
    core = pool_of(1)
    (lease,) = core.handle(ev.Submit("a", 2))
    core.handle(ev.Drain())
    core.handle(done(lease))
    assert core.quiet
    assert only(ev.Assign, core.handle(ev.Undrain()))
    assert not core.quiet


def test_no_more_workers_are_busy_than_allowed():
    core = pool_of(4)
    leases = core.handle(ev.Submit("a", 100))
    assert core.busy == 4
    assert core.handle(ev.Allow(2)) == []
    for lease in leases[:2]:
        assert only(ev.Assign, core.handle(done(lease))) == []
    assert core.busy == 2
    (again,) = only(ev.Assign, core.handle(done(leases[2])))
    assert core.busy == 2
    assert len(only(ev.Assign, core.handle(ev.Allow(4)))) == 2
    assert again.job == "a"
    with pytest.raises(ValueError, match="allow 1 or more"):
        core.handle(ev.Allow(0))


def test_a_block_that_ran_out_of_memory_is_tried_again_alone():
    core = pool_of(3)
    leases = core.handle(ev.Submit("a", 10, retries=1))
    core.handle(ev.Submit("b", 10))
    actions = core.handle(lost(leases[0], memory=True))
    assert only(ev.Attempted, actions)[0].memory
    assert not only(ev.Assign, actions)
    assert core.handle(ev.Ready(7)) == []  # the machine runs dry
    assert only(ev.Assign, core.handle(done(leases[1]))) == []
    (alone,) = only(ev.Assign, core.handle(done(leases[2])))
    assert (alone.job, alone.block, alone.alone, core.busy) == ("a", 0, True, 1)
    after = only(ev.Assign, core.handle(done(alone)))
    assert len(after) == 3
    assert not any(lease.alone for lease in after)


def test_a_paused_job_that_wants_to_be_alone_keeps_nobody_waiting():
    core = pool_of(1)
    (lease,) = core.handle(ev.Submit("a", 2))
    core.handle(ev.Submit("b", 1))
    core.handle(ev.Pause("a"))
    (other,) = only(
        ev.Assign, core.handle(ev.Failed(0, "a", lease.block, lease.attempt, "out of memory", memory=True))
    )
    assert other.job == "b"
    core.handle(done(other))
    (alone,) = core.handle(ev.Resume("a"))
    assert alone.alone


def test_a_block_that_kills_its_workers_is_set_aside_and_the_rest_finishes():
    core = pool_of(1)
    actions = core.handle(ev.Submit("a", 5, retries=1, on_error="fail"))
    seen, worker = list(actions), 0
    while leases := only(ev.Assign, actions):
        lease = leases[-1]
        if lease.block == 2:
            worker += 1
            actions = core.handle(lost(lease)) + core.handle(ev.Ready(worker))
        else:
            actions = core.handle(done(lease))
        seen += actions
    (finish,) = only(ev.Finish, seen)
    assert (finish.outcome, finish.counts.done, finish.failed) == ("done_with_failures", 4, ((2, "died"),))
    assert [notice.kind for notice in only(ev.Notify, seen)] == ["retry", "quarantined"]
    assert [attempt.killed for attempt in only(ev.Attempted, seen)] == [True, True]


def test_a_job_of_which_every_block_kills_its_worker_ends():
    core = pool_of(1)
    actions, worker, seen = core.handle(ev.Submit("a", 100, retries=0)), 0, []
    while leases := only(ev.Assign, actions):
        worker += 1
        actions = core.handle(lost(leases[0])) + core.handle(ev.Ready(worker))
        seen += actions
    (finish,) = only(ev.Finish, seen)
    assert finish.outcome == "failed"
    assert len(finish.failed) == 3
    assert "3 blocks were set aside because their workers died" in finish.reason


def test_the_worker_of_a_probe_waits_for_the_job_that_follows():
    core = pool_of(1)
    (probe,) = core.handle(ev.Submit("probe", 1, probe=True))
    core.handle(ev.Submit("long", 5))
    assert only(ev.Assign, core.handle(done(probe))) == []
    (lease,) = core.handle(ev.Submit("small", 1))
    assert lease.job == "small"


def test_the_worker_of_a_probe_does_not_wait_for_ever():
    core = pool_of(1)
    (probe,) = core.handle(ev.Submit("probe", 1, probe=True))
    core.handle(ev.Submit("long", 5))
    core.handle(done(probe))
    given_out = [only(ev.Assign, core.handle(ev.Tick(float(now_s)))) for now_s in range(4)]
    assert [len(leases) for leases in given_out] == [0, 0, 1, 0]
