from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from blockmill.daemon.scheduling import events as ev
from blockmill.daemon.scheduling.coordinator import Coordinator
from blockmill.daemon.scheduling.job import MOST_CREDIT


def feed(core: Coordinator, *events: ev.Event) -> list[Any]:
    """Feed events in turn; all that comes out, in order."""
    return [action for event in events for action in core.handle(event)]


def only(kind: type, actions: list[Any]) -> list[Any]:
    return [action for action in actions if type(action) is kind]


def done(lease: ev.Assign, seconds: float = 1.0) -> ev.Done:
    return ev.Done(lease.worker, lease.job, lease.block, lease.attempt, seconds)


def failed(lease: ev.Assign, error: str = "broken", retry: bool = True) -> ev.Failed:
    return ev.Failed(lease.worker, lease.job, lease.block, lease.attempt, error, retry)


def pool_of(count: int) -> Coordinator:
    core = Coordinator()
    feed(core, *(ev.Ready(number) for number in range(count)))
    return core


def run_to_end(core: Coordinator, actions: list[Any], seconds: float = 1.0) -> list[Any]:
    """Answer every lease and merge, first come first served, until nothing more comes."""
    seen, index = list(actions), 0
    while index < len(seen):
        action = seen[index]
        index += 1
        if type(action) is ev.Assign:
            seen += core.handle(done(action, seconds))
        elif type(action) is ev.Merge:
            seen += core.handle(ev.Merged(action.job, action.block))
    return seen


# ---------------------------------------------------------------------------- the plain course


def test_a_job_runs_each_block_once_and_ends_as_done():
    core = pool_of(3)
    seen = run_to_end(core, feed(core, ev.Submit("a", 20)))
    assert sorted(a.block for a in only(ev.Assign, seen)) == list(range(20))
    assert [(p.block, p.state) for p in only(ev.Persist, seen)] == [(n, "done") for n in range(20)]
    (finish,) = only(ev.Finish, seen)
    assert (finish.outcome, finish.failed, finish.reason) == ("done", (), "")
    assert finish.counts == ev.BlockCounts(20, 0, 0, 0, 20, 0, 0, 0, 0)
    assert core.busy == 0


def test_a_job_without_blocks_ends_at_once():
    (finish,) = feed(Coordinator(), ev.Submit("a", 0))
    assert type(finish) is ev.Finish
    assert finish.outcome == "done"


def test_a_job_waits_for_a_worker():
    core = Coordinator()
    assert feed(core, ev.Submit("a", 1)) == []
    assert feed(core, ev.Ready(7)) == [ev.Assign(7, "a", 0, 1)]


@pytest.mark.parametrize("mask", [b"\x01\x00\x01\x00", bytearray(b"\x02\x00\xff\x00"), [0, 2], iter([2, 0])])
def test_finished_blocks_are_skipped(mask):
    core = pool_of(1)
    seen = run_to_end(core, feed(core, ev.Submit("a", 4, done=mask)))
    assert [a.block for a in only(ev.Assign, seen)] == [1, 3]
    progress = core.counts("a")
    assert (progress.skipped, progress.done) == (2, 2)


def test_a_job_that_was_finished_before_ends_at_once():
    (finish,) = feed(pool_of(1), ev.Submit("a", 3, done=b"\x01\x01\x01"))
    assert finish == ev.Finish("a", "done", "", (), ev.BlockCounts(3, 0, 0, 0, 0, 3, 0, 0, 0))


def test_an_unsealed_job_ends_only_once_it_is_sealed():
    core = pool_of(1)
    seen = run_to_end(core, feed(core, ev.Submit("a", 1, sealed=False)))
    assert only(ev.Finish, seen) == []
    seen = run_to_end(core, feed(core, ev.Extend("a", 2)))
    assert [a.block for a in only(ev.Assign, seen)] == [1, 2]
    assert only(ev.Finish, seen) == []
    (finish,) = feed(core, ev.Extend("a", 0, sealed=True))
    assert type(finish) is ev.Finish
    (reject,) = feed(core, ev.Extend("a", 1))
    assert type(reject) is ev.Reject


# ------------------------------------------------------------------------- credit and priority


def test_no_worker_gets_a_second_block_while_another_has_none():
    core = pool_of(4)
    assigned = only(ev.Assign, feed(core, ev.Submit("a", 100)))
    assert sorted(a.worker for a in assigned[:4]) == [0, 1, 2, 3]
    assert len(assigned) == 8


def test_the_credit_grows_for_short_blocks_and_falls_to_two_for_long_ones():
    core = pool_of(1)
    feed(core, ev.Submit("a", 10_000))
    for _ in range(70):
        feed(core, done(core.leases(0)[0], seconds=0.001))
    assert len(core.leases(0)) == MOST_CREDIT
    for _ in range(160):
        feed(core, done(core.leases(0)[0], seconds=0.5))
    assert len(core.leases(0)) == 2


def test_answers_that_come_together_are_taken_in_one_by_one_and_followed_by_one_round_of_leases():
    core = pool_of(1)
    first, second = feed(core, ev.Submit("a", 9))
    seen = core.handle_all([done(first), done(first), done(second)])
    assert [type(action) for action in seen] == [ev.Persist, ev.Persist, ev.Assign, ev.Assign]
    assert core.counts("a").done == 2


def test_with_a_least_credit_of_one_no_long_block_waits_behind_another():
    core = Coordinator(least_credit=1)
    feed(core, ev.Ready(0), ev.Submit("a", 300))
    assert len(core.leases(0)) == 1
    for _ in range(20):
        feed(core, done(core.leases(0)[0], seconds=0.5))
        assert len(core.leases(0)) == 1
    for _ in range(120):
        feed(core, done(core.leases(0)[0], seconds=0.001))
    assert len(core.leases(0)) == MOST_CREDIT


@given(blocks=st.integers(1, 60), workers=st.integers(2, 8), short=st.integers(0, 60))
def test_workers_that_come_up_late_find_blocks_that_nobody_else_waits_to_do(blocks, workers, short):
    """The first worker does some short blocks, and may hold many; those that follow take long."""
    core = Coordinator(least_credit=1)
    feed(core, ev.Expect(workers), ev.Submit("a", blocks), ev.Ready(0))
    for _ in range(min(short, blocks)):
        feed(core, done(core.leases(0)[0], seconds=0.0001))
    feed(core, *(ev.Ready(number) for number in range(1, workers)))
    held = [len(core.leases(number)) for number in range(workers)]
    assert 0 not in held or max(held) <= 1


def test_once_all_workers_are_up_the_last_short_blocks_are_given_as_ever():
    plain, told = Coordinator(), Coordinator()
    feed(told, ev.Expect(2))
    seen = [
        run_to_end(core, feed(core, ev.Ready(0), ev.Ready(1), ev.Submit("a", 5))) for core in (plain, told)
    ]
    assert seen[0] == seen[1]


def test_blocks_are_not_kept_for_workers_that_nobody_expects_any_more():
    core = Coordinator()
    assert len(only(ev.Assign, feed(core, ev.Expect(3), ev.Ready(0), ev.Submit("a", 2)))) == 1
    assert len(only(ev.Assign, feed(core, ev.Expect(1)))) == 1


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0, 1e308, 0.0])
def test_odd_times_do_not_stop_a_job(seconds):
    core = pool_of(2)
    seen = run_to_end(core, feed(core, ev.Submit("a", 50)), seconds)
    assert only(ev.Finish, seen)[0].outcome == "done"


def test_short_blocks_do_not_queue_behind_a_long_one_of_another_job():
    core = pool_of(1)
    feed(core, ev.Submit("short", 200))
    for _ in range(70):
        feed(core, done(core.leases(0)[0], seconds=0.001))
    assert len(core.leases(0)) == MOST_CREDIT
    feed(core, ev.Submit("long", 5, priority=1))
    while core.leases(0)[0].job == "short":
        feed(core, done(core.leases(0)[0], seconds=0.001))
    feed(core, ev.Pause("long"))
    assert len(core.leases(0)) == 2


def test_higher_priority_goes_first_then_the_one_submitted_first():
    core = Coordinator()
    feed(core, ev.Submit("a", 2), ev.Submit("b", 2, priority=5), ev.Submit("c", 2))
    seen = run_to_end(core, feed(core, ev.Ready(0)))
    assert [a.job for a in only(ev.Assign, seen)] == ["b", "b", "a", "a", "c", "c"]


def test_a_job_at_its_bound_leaves_workers_to_the_next_one():
    core = pool_of(2)
    assigned = feed(core, ev.Submit("a", 9, max_open=1), ev.Submit("b", 9))
    assert [a.job for a in assigned] == ["a", "b", "b", "b"]


# ---------------------------------------------------------------------- late answers and losses


def test_a_doubled_answer_changes_nothing():
    core = pool_of(1)
    (first, _) = feed(core, ev.Submit("a", 2))
    assert only(ev.Persist, feed(core, done(first)))
    assert feed(core, done(first)) == []
    assert feed(core, failed(first)) == []
    assert core.counts("a").done == 1
    assert core.counts("a").retries == 0


def test_a_doubled_answer_does_not_drop_the_result_that_waits_for_its_merge():
    core = pool_of(1)
    (first, second) = feed(core, ev.Submit("a", 2, merge=True))
    feed(core, done(first), done(second))
    assert feed(core, done(first), done(second)) == []
    assert core.counts("a").waiting_merge == 2


def test_an_answer_after_the_loss_of_its_worker_is_stale():
    core = pool_of(1)
    (lease,) = feed(core, ev.Submit("a", 1))
    feed(core, ev.Lost(0, "killed by signal 9"), ev.Ready(0))
    assert not core.holds(0, "a", 0, lease.attempt)
    assert core.holds(0, "a", 0, lease.attempt + 1)
    assert feed(core, done(lease)) == []
    assert core.counts("a").running == 1


def test_only_the_running_block_of_a_lost_worker_has_failed():
    core = pool_of(1)
    feed(core, ev.Submit("a", 2, retries=0, on_error="finish"))
    seen = feed(core, ev.Lost(0, "out of memory"))
    assert only(ev.Persist, seen) == [ev.Persist("a", 0, "failed", 1, "out of memory")]
    assert feed(core, ev.Ready(1)) == [ev.Assign(1, "a", 1, 2)]


def test_leases_that_went_back_do_not_use_up_tries():
    core = Coordinator()
    feed(core, ev.Submit("bait", 9, retries=0, on_error="finish", priority=1, max_open=1))
    feed(core, ev.Submit("a", 1, retries=0))
    for number in range(5):
        (bait, queued) = feed(core, ev.Ready(number))
        assert (bait.job, queued) == ("bait", ev.Assign(number, "a", 0, number + 1))
        feed(core, ev.Lost(number, "gone"))
    assert core.counts("bait").failed == 5
    assert core.counts("a").pending == 1


def test_a_lost_block_is_tried_again_before_new_ones():
    core = pool_of(1)
    feed(core, ev.Submit("a", 9), ev.Lost(0, "gone"))
    assert [a.block for a in feed(core, ev.Ready(1))] == [0, 1]


def test_loss_and_retirement_of_an_unknown_worker_change_nothing():
    core = pool_of(1)
    leases = feed(core, ev.Submit("a", 2))
    assert feed(core, ev.Lost(3, "?"), ev.Retire(3)) == []
    assert list(core.leases(0)) == leases


def test_a_second_hello_does_not_undo_a_retirement():
    core = pool_of(1)
    feed(core, ev.Retire(0), ev.Ready(0))
    assert feed(core, ev.Submit("a", 1)) == []


def test_a_retired_worker_ends_what_it_has_and_gets_nothing_new():
    core = pool_of(1)
    (first, second) = feed(core, ev.Submit("a", 9))
    feed(core, ev.Retire(0))
    assert only(ev.Assign, feed(core, done(first), done(second))) == []
    assert core.leases(0) == ()
    assert core.counts("a").done == 2


# ----------------------------------------------------------------------------------- failures


def test_a_failed_block_is_tried_again_until_its_tries_are_used_up():
    core = pool_of(1)
    (lease,) = feed(core, ev.Submit("a", 1, retries=2))
    for attempt in (1, 2):
        attempted, notice, again = feed(core, failed(lease, "nan"))
        assert attempted == ev.Attempted("a", 0, attempt, 0, "nan")
        assert notice == ev.Notify("a", "retry", 0, 0, attempt, "nan")
        lease = again
        assert lease.attempt == attempt + 1
    _, persist, notice, finish = feed(core, failed(lease, "nan"))
    assert persist == ev.Persist("a", 0, "failed", 3, "nan")
    assert notice.kind == "given_up"
    assert (finish.outcome, finish.failed) == ("failed", ((0, "nan"),))
    assert finish.reason == "block 0 failed in 3 tries: nan"
    assert finish.counts.retries == 2


def test_a_failure_that_another_try_cannot_mend_is_final():
    core = pool_of(1)
    (lease,) = feed(core, ev.Submit("a", 1, retries=5))
    assert only(ev.Finish, feed(core, failed(lease, retry=False)))[0].outcome == "failed"


def test_on_error_finish_goes_on_with_the_rest():
    core = pool_of(1)
    (first, second) = feed(core, ev.Submit("a", 3, retries=0, on_error="finish"))
    seen = feed(core, failed(first, "bad"))
    (finish,) = only(ev.Finish, run_to_end(core, [second, *seen]))
    assert (finish.outcome, finish.failed) == ("done_with_failures", ((0, "bad"),))
    assert finish.counts.done == 2


def test_a_failed_job_kills_the_workers_that_run_it_and_ends_when_they_are_gone():
    core = pool_of(2)
    leases = feed(core, ev.Submit("a", 9, retries=0))
    first = next(a for a in leases if a.worker == 0)
    seen = feed(core, failed(first, "bad"))
    assert sorted(kill.worker for kill in only(ev.Kill, seen)) == [0, 1]
    assert only(ev.Finish, seen) == only(ev.Assign, seen) == []
    assert only(ev.Finish, feed(core, ev.Lost(0, "killed"))) == []
    (finish,) = feed(core, ev.Lost(1, "killed"))
    assert finish.outcome == "failed"
    assert (finish.counts.failed, finish.counts.cancelled) == (1, 8)


# ------------------------------------------------------------------------- cancel, pause, drain


def test_cancel_kills_the_running_worker_and_gives_back_the_blocks_of_other_jobs():
    core = pool_of(1)
    feed(core, ev.Submit("a", 1), ev.Submit("b", 1))
    assert [a.job for a in core.leases(0)] == ["a", "b"]
    (kill,) = feed(core, ev.Cancel("a", "changed my mind"))
    assert kill.worker == 0
    assert "changed my mind" in kill.reason
    assert feed(core, ev.Submit("c", 1)) == []
    seen = feed(core, ev.Lost(0, "killed"), ev.Ready(1))
    assert only(ev.Finish, seen)[0].outcome == "cancelled"
    assert only(ev.Assign, seen) == [ev.Assign(1, "b", 0, 2), ev.Assign(1, "c", 0, 1)]
    assert core.counts("b").retries == 0


def test_a_worker_that_is_being_killed_gets_nothing_new():
    core = pool_of(1)
    feed(core, ev.Submit("a", 1), ev.Cancel("a"))
    assert feed(core, ev.Submit("b", 9)) == []
    assert feed(core, ev.Lost(0, "killed"), ev.Ready(1))[1:] == [
        ev.Assign(1, "b", 0, 1),
        ev.Assign(1, "b", 1, 1),
    ]


def test_a_worker_is_killed_once_a_block_of_a_cancelled_job_comes_to_run_on_it():
    core = pool_of(1)
    (first, _) = feed(core, ev.Submit("a", 1), ev.Submit("b", 1))
    assert feed(core, ev.Cancel("b")) == []
    seen = feed(core, done(first))
    assert [type(a) for a in seen] == [ev.Persist, ev.Finish, ev.Kill]
    assert only(ev.Finish, feed(core, ev.Lost(0, "killed")))[0].job == "b"


def test_a_block_that_was_done_while_its_worker_was_being_killed_counts():
    core = pool_of(1)
    (first, second) = feed(core, ev.Submit("a", 2))
    feed(core, ev.Cancel("a"))
    assert only(ev.Persist, feed(core, done(first)))
    (finish,) = feed(core, ev.Lost(0, "killed"))
    assert (finish.counts.done, finish.counts.cancelled) == (1, 1)
    assert second.block == 1


def test_the_next_block_is_not_blamed_for_a_kill_that_was_meant_for_the_one_before():
    core = pool_of(1)
    (first, _) = feed(core, ev.Submit("a", 1), ev.Submit("b", 1, retries=0))
    feed(core, ev.Cancel("a"), done(first))
    assert only(ev.Notify, feed(core, ev.Lost(0, "killed"))) == []
    assert feed(core, ev.Ready(1)) == [ev.Assign(1, "b", 0, 2)]


def test_a_cancelled_job_stays_cancelled_when_one_of_its_blocks_then_fails_for_good():
    core = pool_of(1)
    (lease, _) = feed(core, ev.Submit("a", 2, retries=0))
    feed(core, ev.Cancel("a"))
    assert only(ev.Finish, feed(core, failed(lease, "bad"))) == []
    (finish,) = feed(core, ev.Lost(0, "killed"))
    assert (finish.outcome, finish.failed) == ("cancelled", ((0, "bad"),))
    assert finish.reason == "cancelled on request"


def test_cancel_without_open_leases_ends_the_job_at_once():
    (finish,) = feed(Coordinator(), ev.Submit("a", 1000), ev.Cancel("a", "no need"))
    assert (finish.outcome, finish.reason, finish.counts.cancelled) == ("cancelled", "no need", 1000)


def test_a_paused_job_starts_nothing_but_ends_what_runs():
    core = pool_of(1)
    (first, second) = feed(core, ev.Submit("a", 3))
    assert feed(core, ev.Pause("a"), ev.Pause("a")) == []
    assert only(ev.Assign, feed(core, done(first), done(second))) == []
    assert only(ev.Assign, feed(core, ev.Resume("a"))) == [ev.Assign(0, "a", 2, 1)]


def test_a_paused_job_does_not_hold_up_the_others():
    core = Coordinator()
    feed(core, ev.Submit("a", 1, priority=9), ev.Submit("b", 1), ev.Pause("a"))
    assert feed(core, ev.Ready(0)) == [ev.Assign(0, "b", 0, 1)]


def test_a_drained_coordinator_starts_nothing_and_falls_silent():
    core = pool_of(1)
    (first, second) = feed(core, ev.Submit("a", 9), ev.Drain())
    assert core.busy == 1
    assert only(ev.Assign, feed(core, done(first), done(second), ev.Ready(1), ev.Submit("b", 1))) == []
    assert core.busy == 0


# ------------------------------------------------------------------------------------- merging


def test_one_merge_at_a_time_in_the_order_of_the_answers():
    core = pool_of(3)
    leases = feed(core, ev.Submit("a", 3, merge=True))
    seen = feed(core, done(leases[2]), done(leases[0]), done(leases[1]))
    assert [m.block for m in only(ev.Merge, seen)] == [leases[2].block]
    seen = feed(core, ev.Merged("a", leases[2].block))
    assert [m.block for m in only(ev.Merge, seen)] == [leases[0].block]
    assert [p.block for p in only(ev.Persist, seen)] == [leases[2].block]
    assert core.counts("a").waiting_merge == 2


def test_an_ordered_job_merges_in_order_of_blocks_and_passes_over_skipped_and_failed_ones():
    core = pool_of(5)
    options = {"merge": True, "ordered": True, "retries": 0, "on_error": "finish"}
    leases = {a.block: a for a in feed(core, ev.Submit("a", 6, done=[1], **options))}
    early = feed(core, done(leases[5]), done(leases[4]), done(leases[2]), done(leases[0]))
    assert [m.block for m in only(ev.Merge, early)] == [0]
    assert [m.block for m in only(ev.Merge, feed(core, ev.Merged("a", 0)))] == [2]
    assert only(ev.Merge, feed(core, ev.Merged("a", 2))) == []
    assert [m.block for m in only(ev.Merge, feed(core, failed(leases[3])))] == [4]


def test_results_that_came_too_early_do_not_keep_the_next_block_from_being_tried_again():
    core = pool_of(3)
    leases = {a.block: a for a in feed(core, ev.Submit("a", 9, merge=True, ordered=True, max_open=3))}
    assert sorted(leases) == [0, 1, 2]
    seen = feed(core, done(leases[1]), done(leases[2]))
    assert only(ev.Assign, seen) == only(ev.Merge, seen) == []
    seen = feed(core, failed(leases[0]))
    (again,) = only(ev.Assign, seen)
    assert again.block == 0
    seen = run_to_end(core, [again])
    assert [m.block for m in only(ev.Merge, seen)] == list(range(9))


def test_a_slow_merge_does_not_stop_assigning_before_the_bound():
    core = pool_of(1)
    seen = feed(core, ev.Submit("a", 99, merge=True, max_open=5))
    for _ in range(20):
        answers = [done(lease) for lease in core.leases(0)]
        seen += feed(core, *answers)
    assert len(only(ev.Assign, seen)) == 5
    assert len(only(ev.Merge, seen)) == 1
    seen = feed(core, ev.Merged("a", 0))
    assert [type(a) for a in seen] == [ev.Persist, ev.Merge, ev.Assign]


def test_a_failed_merge_ends_the_job_and_drops_what_waited():
    core = pool_of(2)
    leases = feed(core, ev.Submit("a", 4, merge=True, on_error="finish"))
    feed(core, *(done(lease) for lease in leases[:2]))
    seen = feed(core, ev.MergeFailed("a", 0, "disk full"))
    assert [d.block for d in only(ev.Drop, seen)] == [1]
    assert only(ev.Persist, seen) == [ev.Persist("a", 0, "failed", 1, "the merge failed: disk full")]
    assert len(only(ev.Kill, seen)) == 2
    seen = feed(core, ev.Lost(0, ""), ev.Lost(1, ""))
    (finish,) = only(ev.Finish, seen)
    assert (finish.outcome, finish.reason) == ("failed", "block 0: the merge failed: disk full")


def test_a_cancelled_job_waits_for_its_merge_and_merges_nothing_after_it():
    core = pool_of(1)
    (first, second) = feed(core, ev.Submit("a", 2, merge=True))
    feed(core, done(first), done(second))
    assert feed(core, ev.Cancel("a")) == [ev.Drop(0, "a", 1, 1)]
    persist, finish = feed(core, ev.Merged("a", 0))
    assert (persist.block, finish.outcome) == (0, "cancelled")
    assert (finish.counts.done, finish.counts.cancelled) == (1, 1)


def test_a_merge_that_was_not_asked_for_changes_nothing():
    core = pool_of(1)
    (lease,) = feed(core, ev.Submit("a", 1, merge=True))
    events = [ev.Merged("b", 0), ev.Merged("a", 0), ev.MergeFailed("a", 1, "x"), ev.MergeFailed("c", 1, "x")]
    assert feed(core, *events) == []
    assert core.counts("a").running == 1
    assert only(ev.Merge, feed(core, done(lease)))


# --------------------------------------------------------------------------------------- time


def test_a_block_that_runs_too_long_has_its_worker_killed_and_has_failed_once():
    core = pool_of(1)
    feed(core, ev.Submit("a", 2, block_timeout_s=10, retries=0, on_error="finish"), ev.Tick(100.0))
    assert feed(core, ev.Tick(110.0)) == []
    (kill,) = feed(core, ev.Tick(110.5))
    assert kill == ev.Kill(0, "block 0 ran longer than 10 s")
    assert feed(core, ev.Tick(200.0)) == []
    seen = feed(core, ev.Lost(0, "killed by signal 9"))
    assert only(ev.Persist, seen)[0].reason == "block 0 ran longer than 10 s: killed by signal 9"
    assert feed(core, ev.Ready(1)) == [ev.Assign(1, "a", 1, 2)]


def test_the_time_of_a_block_runs_from_when_it_is_first_in_line():
    core = pool_of(1)
    (first, _) = feed(core, ev.Submit("a", 2, block_timeout_s=10), ev.Tick(0.0))
    feed(core, ev.Tick(9.0), done(first))
    assert feed(core, ev.Tick(12.0)) == []
    assert feed(core, ev.Tick(22.0)) == []
    assert only(ev.Kill, feed(core, ev.Tick(22.5)))


def test_the_time_must_not_go_back():
    core = Coordinator()
    feed(core, ev.Tick(5.0))
    with pytest.raises(ValueError, match="went back"):
        feed(core, ev.Tick(4.0))


# --------------------------------------------------------------------------- refusals and reads


def test_requests_about_unknown_ended_and_stopping_jobs_are_rejected():
    core = pool_of(1)
    run_to_end(core, feed(core, ev.Submit("ended", 1)))
    feed(core, ev.Submit("stopping", 1), ev.Cancel("stopping"))
    for name in ("unknown", "ended", "stopping"):
        for event in (ev.Cancel(name), ev.Pause(name), ev.Resume(name), ev.Extend(name, 1)):
            (reject,) = feed(core, event)
            assert (type(reject), reject.job, reject.event) == (ev.Reject, name, type(event).__name__)


def test_a_name_is_taken_until_it_is_forgotten():
    core = pool_of(1)
    leases = feed(core, ev.Submit("a", 1))
    assert type(feed(core, ev.Submit("a", 5))[0]) is ev.Reject
    with pytest.raises(ValueError, match="not ended"):
        core.forget("a")
    run_to_end(core, leases)
    core.forget("a")
    with pytest.raises(KeyError):
        core.counts("a")
    assert feed(core, ev.Submit("a", 1)) == [ev.Assign(0, "a", 0, 1)]


@pytest.mark.parametrize(
    "wrong",
    [
        ev.Submit("a", -1),
        ev.Submit("a", 1, retries=-1),
        ev.Submit("a", 1, max_open=0),
        ev.Submit("a", 1, on_error="ignore"),  # pyright: ignore[reportArgumentType]
        ev.Submit("a", 1, block_timeout_s=0),
        ev.Submit("a", 1, done=b"\x00\x00"),
        ev.Submit("a", 1, done=[1]),
        ev.Submit("a", 1, done=[-1]),
    ],
)
def test_options_out_of_bounds_raise_and_change_nothing(wrong):
    core = pool_of(1)
    with pytest.raises(ValueError, match=r"give|finished"):
        feed(core, wrong)
    assert feed(core, ev.Submit("a", 1)) == [ev.Assign(0, "a", 0, 1)]


def test_what_is_not_an_event_raises():
    with pytest.raises(TypeError, match="not an event"):
        Coordinator().handle(ev.Assign(0, "a", 0, 1))  # pyright: ignore[reportArgumentType]


def test_progress_counts_what_runs_waits_and_is_left():
    core = pool_of(2)
    leases = feed(core, ev.Submit("a", 10, merge=True, done=[9]))
    feed(core, done(leases[0]), done(leases[1]))
    feed(core, ev.Merged("a", leases[0].block))
    assert core.counts("a") == ev.BlockCounts(
        count=10, pending=3, running=4, waiting_merge=1, done=1, skipped=1, failed=0, cancelled=0, retries=0
    )


def test_as_many_merges_run_at_once_as_the_job_allows():
    core = pool_of(4)
    leases = only(ev.Assign, feed(core, ev.Submit("a", 4, merge=True, parallel_merges=2)))
    merges = only(ev.Merge, feed(core, *(done(lease) for lease in leases)))
    assert [merge.block for merge in merges] == [0, 1]
    (third,) = only(ev.Merge, feed(core, ev.Merged("a", 1)))
    assert third.block == 2
    feed(core, ev.Merged("a", 0), ev.Merged("a", 2))
    (finish,) = only(ev.Finish, feed(core, ev.Merged("a", 3)))
    assert finish.outcome == "done"


def test_one_failed_merge_of_several_ends_the_job_once_the_others_are_through():
    core = pool_of(2)
    leases = only(ev.Assign, feed(core, ev.Submit("a", 2, merge=True, parallel_merges=2)))
    feed(core, *(done(lease) for lease in leases))
    assert only(ev.Finish, feed(core, ev.MergeFailed("a", 0, "disk full"))) == []
    (finish,) = only(ev.Finish, feed(core, ev.Merged("a", 1)))
    assert (finish.outcome, finish.failed[0][0]) == ("failed", 0)


def test_no_merges_at_all_is_no_bound_that_a_job_may_ask_for():
    with pytest.raises(ValueError, match="parallel_merges"):
        feed(Coordinator(), ev.Submit("a", 1, parallel_merges=0))
