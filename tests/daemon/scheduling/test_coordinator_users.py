"""Workers that become a user for good: whose they are, when they are replaced, and that shares stay fair."""

from collections import Counter

import hypothesis.strategies as st
import pytest
from hypothesis import given

from blockmill.daemon.scheduling import events as ev
from blockmill.daemon.scheduling.coordinator import Coordinator
from blockmill.daemon.scheduling.replacements import LEAD_S


class Bench:
    """Workers that do blocks at the same time, each one after the other; a replacement takes no time."""

    def __init__(self, workers, seconds=None):
        self.core = Coordinator(least_credit=1)
        self.seconds = seconds or {}  # that a block of a job takes; else 0.1
        self.now_s = 0.0
        self.users, self.used_s, self.replaced = {}, Counter(), 0
        self.running, self.seen = [], []
        self._ending, self._free_s, self._next = set(), Counter(), workers
        self.feed(ev.Expect(workers), *map(ev.Ready, range(workers)))

    def feed(self, *events):
        for event in events:
            for action in self.core.handle(event):
                self.seen.append(action)
                if type(action) is ev.Assign:
                    began_s = max(self.now_s, self._free_s[action.worker])
                    end_s = self._free_s[action.worker] = began_s + self.took_s(action)
                    self.running.append((end_s, len(self.seen), action))
                elif type(action) is ev.Replace:
                    self._ending.add(action.worker)
        for number in [n for n in self._ending if not self.core.leases(n)]:
            self._ending.discard(number)
            self.replaced += 1
            self._next += 1
            self.feed(ev.Lost(number, "replaced"), ev.Ready(self._next))

    def took_s(self, lease):
        return self.seconds.get(lease.job, 0.1)

    def submit(self, job, count, user, owner=None, **options):
        self.users[job] = user
        self.feed(ev.Submit(job, count, owner=owner or str(user), user=user, **options))

    def work(self, blocks=1):
        """Let so many blocks come to their end."""
        for _ in range(blocks):
            ended = min(self.running)
            self.now_s, _, lease = ended
            self.end(lease)

    def end(self, lease):
        self.running = [one for one in self.running if one[2] is not lease]
        self.used_s[self.users[lease.job]] += self.took_s(lease)
        self.feed(ev.Done(lease.worker, lease.job, lease.block, lease.attempt, self.took_s(lease)))

    def leases(self, job=None):
        return [lease for _, _, lease in self.running if job in (None, lease.job)]

    def users_at_work(self):
        return Counter({lease.worker: self.users[lease.job] for lease in self.leases()}.values())

    def finished(self):
        return [action.job for action in self.seen if type(action) is ev.Finish]


def test_a_worker_serves_its_first_user_and_nobody_else():
    bench = Bench(2, {"a": 0.5, "b": 0.2})
    bench.submit("a", 50, "ann")
    bench.submit("b", 50, "ben")
    users = {}
    while bench.running:
        for lease in bench.leases():
            assert users.setdefault(lease.worker, bench.users[lease.job]) == bench.users[lease.job]
        bench.work()
    assert sorted(bench.finished()) == ["a", "b"]


@pytest.mark.parametrize("user", ["ann", None])
def test_jobs_of_one_user_or_of_nobody_have_no_worker_replaced(user):
    bench = Bench(3, {"a": 0.5, "b": 0.2})
    bench.submit("a", 40, user)
    bench.submit("b", 40, user, owner="another")
    while bench.running:
        bench.work()
    assert bench.replaced == 0
    assert sorted(bench.finished()) == ["a", "b"]


def test_who_comes_later_gets_half_of_the_workers_as_they_come_free():
    bench = Bench(4)
    bench.submit("a", 1000, "ann")
    bench.submit("b", 1000, "ben")
    assert bench.users_at_work() == {"ann": 4}  # nothing that runs is cut off
    bench.work(4)
    assert bench.users_at_work() == {"ann": 2, "ben": 2}
    assert bench.replaced == 2


def test_with_one_worker_each_has_its_turn_however_short_the_blocks_are():
    """Their time adds up to nothing, but who waits has waited."""
    bench = Bench(1, {"a": 1e-6, "b": 1e-6})
    bench.submit("a", 100_000, "ann")
    bench.submit("b", 100_000, "ben")
    turns = []
    for tick in range(60):
        bench.feed(ev.Tick(0.2 * tick))
        bench.work(100)
        turns += [user for user in bench.users_at_work() if user not in turns[-1:]]
    assert 8 <= len(turns) <= 13  # of five ticks or so each
    assert set(turns) == {"ann", "ben"}


def test_idle_workers_of_one_whose_blocks_are_done_go_to_another():
    bench = Bench(2)
    bench.submit("a", 2, "ann")
    bench.work(2)
    assert bench.finished() == ["a"]
    bench.submit("b", 1, "ben")
    assert bench.users_at_work() == {"ben": 1}
    assert bench.replaced == 1  # as many as there are blocks
    bench.work()
    bench.submit("c", 1, "ann")
    bench.work()
    assert bench.finished() == ["a", "b", "c"]
    assert bench.replaced == 1  # each has a worker by now


def test_a_job_of_higher_priority_takes_every_worker_as_it_comes_free():
    bench = Bench(3)
    bench.submit("a", 1000, "ann")
    bench.submit("b", 1000, "ben", priority=1)
    bench.work(3)
    assert bench.users_at_work() == {"ben": 3}
    bench.feed(ev.Reprioritise("b", -1))
    bench.work(3)
    assert bench.users_at_work() == {"ann": 3}


def test_a_job_that_waits_for_its_merges_keeps_its_worker_for_a_moment():
    bench = Bench(2)
    bench.submit("a", 10, "ann", merge=True, max_open=1)
    bench.submit("b", 1000, "ben")
    (lease,) = bench.leases("a")
    bench.end(lease)
    bench.work(3)
    assert bench.replaced == 0
    bench.feed(ev.Merged("a", lease.block))
    assert bench.users_at_work() == {"ann": 1, "ben": 1}
    (lease,) = bench.leases("a")
    bench.end(lease)
    for tick in range(6):  # it takes long: somebody else goes on with the worker
        bench.feed(ev.Tick(float(tick)))
    assert bench.users_at_work() == {"ben": 2}
    assert bench.replaced == 1
    bench.feed(ev.Merged("a", lease.block))
    bench.work(2)
    assert bench.users_at_work() == {"ann": 1, "ben": 1}


def test_a_block_that_must_run_alone_gets_a_worker_of_its_user():
    bench = Bench(1)
    bench.submit("b", 1, "ben")
    bench.submit("a", 30, "ann")
    (lease,) = bench.leases()
    bench.running.clear()
    bench.feed(ev.Ready(70), ev.Retire(lease.worker))
    assert [lease.job for lease in bench.leases()] == ["a"]
    bench.feed(ev.Lost(lease.worker, "out of memory", memory=True))  # the worker left is ann's
    bench.work()
    assert [(lease.job, lease.alone) for lease in bench.leases()] == [("b", True)]
    assert bench.replaced == 1


@given(st.integers(1, 5), st.lists(st.floats(0.01, 3.0), min_size=2, max_size=3))
def test_owners_get_the_same_time_and_few_workers_are_replaced(workers, seconds):
    """Whatever their blocks take, and however few the workers are."""
    jobs = [f"job {number}" for number in range(len(seconds))]
    bench = Bench(workers, dict(zip(jobs, seconds, strict=True)))
    for job in jobs:
        bench.submit(job, 100_000, job)
    while bench.now_s < 40:
        bench.work()
    used_s = [bench.used_s[job] for job in jobs]
    assert max(used_s) - min(used_s) <= 2 * LEAD_S + 2 * workers * max(seconds)
    assert bench.replaced <= workers + 2 * len(jobs) * bench.now_s / LEAD_S
