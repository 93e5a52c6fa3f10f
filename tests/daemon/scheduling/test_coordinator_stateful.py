"""The coordinator against a plain model of it, under any order of events.

The model knows what must become of each block, not how to schedule: what is assigned, merged,
killed and finished is taken from the actions and checked against the rules.
"""

from dataclasses import dataclass, field

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from blockmill.daemon.scheduling import events as ev
from blockmill.daemon.scheduling.coordinator import Coordinator
from blockmill.daemon.scheduling.job import MOST_CREDIT

NOBODY = object()
FINAL = {"done", "failed", "skipped", "cancelled"}
PICK = st.integers(0, 999)
SHORT_S, LONG_S = 0.001, 0.4


@st.composite
def jobs(draw) -> dict:
    """Options of a `Submit`."""
    count = draw(st.integers(0, 40))
    merging = draw(st.sampled_from(["no", "arrival", "order"]))
    owner = draw(st.sampled_from(["ann", "ann", "ben"]))
    return {
        "count": count,
        "retries": draw(st.integers(0, 2)),
        "on_error": draw(st.sampled_from(["fail", "finish", "finish"])),
        "priority": draw(st.integers(0, 1)),
        "merge": merging != "no",
        "ordered": merging == "order",
        "max_open": draw(st.sampled_from([None, 1, 2, 5])),
        "done": draw(st.sets(st.integers(0, count - 1), max_size=5)) if count else set(),
        "sealed": draw(st.booleans()),
        "block_timeout_s": draw(st.sampled_from([None, 5.0])),
        "owner": owner,
        "user": draw(st.sampled_from([None, None, owner])),
    }


JOBS = jobs()


@dataclass
class Job:
    submit: ev.Submit
    number: int
    blocks: list[str]
    sealed: bool
    paused: bool = False
    stopping: str | None = None
    finishes: list[ev.Finish] = field(default_factory=list)
    leased: dict[int, int] = field(default_factory=dict)  # block -> leases that it has had
    failures: dict[int, int] = field(default_factory=dict)
    retries: int = 0
    waiting: list[ev.Assign] = field(default_factory=list)
    merging: ev.Assign | None = None
    merged: list[int] = field(default_factory=list)
    persisted: dict[int, str] = field(default_factory=dict)
    had_short_blocks: bool = False
    alone: set[int] = field(default_factory=set)  # pending ones that must have nothing beside them
    quarantined: int = 0
    attempted: int = 0
    priority: int = 0

    @property
    def rank(self) -> tuple[int, int]:
        return (self.submit.count - len(self.submit.done), self.number)

    @property
    def wants_alone(self) -> bool:
        return bool(self.alone) and self.live and not self.paused

    @property
    def live(self) -> bool:
        return self.stopping is None and not self.finishes

    @property
    def open(self) -> int:
        return sum(state in ("leased", "waiting") for state in self.blocks)

    def can_start(self) -> bool:
        pending = {n for n, state in enumerate(self.blocks) if state == "pending"} - self.alone
        if not self.live or self.paused or not pending:
            return False
        if any(block in pending for block in self.leased):
            return True
        return self.submit.max_open is None or self.open < self.submit.max_open

    def stop(self, outcome: str) -> None:
        """End early: all that neither runs nor is being merged is cancelled."""
        if self.stopping is None:
            self.stopping = outcome
            self.waiting.clear()
            self.alone.clear()
            merging = self.merging.block if self.merging else -1
            for block, state in enumerate(self.blocks):
                if state == "pending" or (state == "waiting" and block != merging):
                    self.blocks[block] = "cancelled"

    def fail(self, block: int, retry: bool, *, memory: bool = False, killed: bool = False) -> None:
        self.failures[block] = self.failures.get(block, 0) + 1
        if retry and self.failures[block] <= self.submit.retries:
            self.retries += self.stopping is None
            self.give_back(block, alone=memory)
            return
        self.blocks[block] = "failed"
        self.quarantined += killed
        if self.submit.on_error == "fail" and (not killed or self.all_crashes()):
            self.stop("failed")

    def all_crashes(self) -> bool:
        return self.quarantined >= 3 and self.quarantined > self.blocks.count("done")

    def give_back(self, block: int, *, alone: bool = False) -> None:
        self.blocks[block] = "pending" if self.stopping is None else "cancelled"
        if alone and self.stopping is None:
            self.alone.add(block)

    def done(self, lease: ev.Assign, seconds: float) -> None:
        self.had_short_blocks |= seconds == SHORT_S
        if not self.submit.merge:
            self.blocks[lease.block] = "done"
        elif self.stopping is None:
            self.blocks[lease.block] = "waiting"
            self.waiting.append(lease)
        else:
            self.blocks[lease.block] = "cancelled"

    def next_merge(self) -> ev.Assign | None:
        if not self.submit.ordered:
            return self.waiting[0] if self.waiting else None
        first = next((n for n, state in enumerate(self.blocks) if state not in FINAL), None)
        return next((lease for lease in self.waiting if lease.block == first), None)


@dataclass
class Worker:
    leases: list[ev.Assign] = field(default_factory=list)
    retired: bool = False
    target: ev.Assign | None = None
    since_s: float | None = None
    user: object = NOBODY  # until its first lease

    @property
    def available(self) -> bool:
        return not self.retired and self.target is None


class CoordinatorMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.core = Coordinator()
        self.jobs: dict[str, Job] = {}
        self.workers: dict[int, Worker] = {}
        self.past: list[ev.Assign] = []  # leases that are closed
        self.now_s = 0.0
        self.draining = False
        self.allowed = 99
        self.expected = 0
        self.steps = 0  # what ends jobs and workers goes by it: else few of them come far

    # ------------------------------------------------------------------ what comes out

    def feed(self, event: ev.Event) -> list[ev.Action]:
        return self.see(self.core.handle(event))

    def effects(self, event: ev.Event) -> list[ev.Action]:
        """What follows from an event; a worker may be replaced at any, for a user who has waited for one."""
        return [action for action in self.feed(event) if not isinstance(action, ev.Replace)]

    def see(self, actions: list[ev.Action]) -> list[ev.Action]:
        for action in actions:
            getattr(self, f"see_{type(action).__name__.lower()}")(action)
        return actions

    def see_assign(self, lease: ev.Assign) -> None:
        job, worker = self.jobs[lease.job], self.workers[lease.worker]
        assert not self.draining
        assert worker.available
        assert not self.alone_lease(), "something beside a block that must be alone"
        if lease.alone:
            assert job.wants_alone
            assert not self.has_leases()
            job.alone.remove(lease.block)
        else:
            self.check_its_turn(job, worker, lease)
        assert job.blocks[lease.block] == "pending"
        assert lease.attempt == job.leased.get(lease.block, 0) + 1
        job.leased[lease.block] = lease.attempt
        job.blocks[lease.block] = "leased"
        assert worker.user in (NOBODY, job.submit.user), "another user's worker"
        worker.user = job.submit.user
        worker.leases.append(lease)
        if len(worker.leases) == 1:
            worker.since_s = None

    def check_its_turn(self, job: Job, worker: Worker, lease: ev.Assign) -> None:
        assert job.can_start()
        assert not any(other.wants_alone for other in self.jobs.values())
        for other in self.jobs.values():
            before = other.priority > job.priority
            same = other.priority == job.priority and other.submit.owner == job.submit.owner
            if before or (same and other.rank < job.rank):
                passed_over = other.submit.user != job.submit.user and not self.has_room(other)
                assert passed_over or not other.can_start(), "a job was passed over"
        held = len(worker.leases)
        assert self.busy() < self.allowed or (held and self.busy() == self.allowed)
        assert held == min(self.candidates(job))
        assert held < MOST_CREDIT
        assert not (held and self.keeps_for_others(job)), "a worker that still starts finds nothing"
        if held >= 2:
            assert job.had_short_blocks
            assert {other.job for other in worker.leases} == {lease.job}

    def keeps_for_others(self, job: Job) -> bool:
        """Whether the last blocks of a job are for workers that still start."""
        free = job.blocks.count("pending") - len(job.alone)
        return len(self.workers) < self.expected and free <= self.expected

    def busy(self) -> int:
        return sum(bool(worker.leases) for worker in self.workers.values())

    def team(self, job: Job) -> list[Worker]:
        """The workers that may do blocks of a job."""
        users = (NOBODY, job.submit.user)
        return [w for w in self.workers.values() if w.available and w.user in users]

    def candidates(self, job: Job) -> list[int]:
        """Leases of each worker that may have one more of this job."""
        least = int(self.busy() >= self.allowed)
        return [len(w.leases) for w in self.team(job) if len(w.leases) >= least]

    def has_room(self, job: Job) -> bool:
        """Whether a job would find a worker for its next block, or waits until fewer are busy."""
        least = min(self.candidates(job), default=99)
        return self.is_held_back(job) or least == 0 or (least == 1 and not self.keeps_for_others(job))

    def is_held_back(self, job: Job) -> bool:
        """Whether only the number of busy workers keeps a job from its next block."""
        return self.busy() >= self.allowed and any(not worker.leases for worker in self.team(job))

    def alone_lease(self) -> ev.Assign | None:
        return next((x for w in self.workers.values() for x in w.leases if x.alone), None)

    def see_attempted(self, attempted: ev.Attempted) -> None:
        job = self.jobs[attempted.job]
        assert attempted.attempt == job.leased[attempted.block]
        job.attempted += 1

    def see_merge(self, merge: ev.Merge) -> None:
        job = self.jobs[merge.job]
        assert job.merging is None
        assert job.stopping is None
        lease = job.next_merge()
        assert lease is not None
        same = (lease.worker, lease.job, lease.block, lease.attempt)
        assert same == (merge.worker, merge.job, merge.block, merge.attempt)
        assert merge.block not in job.merged
        job.waiting.remove(lease)
        job.merging = lease
        job.merged.append(merge.block)

    def see_persist(self, persist: ev.Persist) -> None:
        job = self.jobs[persist.job]
        assert persist.block not in job.persisted
        assert job.blocks[persist.block] == persist.state
        assert job.leased[persist.block] == persist.attempt
        job.persisted[persist.block] = persist.state

    def see_drop(self, drop: ev.Drop) -> None:
        job = self.jobs[drop.job]
        unmerged = [(x.worker, x.block, x.attempt) for x in (*job.waiting, job.merging) if x is not None]
        assert (drop.worker, drop.block, drop.attempt) not in unmerged

    def see_kill(self, kill: ev.Kill) -> None:
        worker = self.workers[kill.worker]
        assert worker.target is None
        assert self.must_die(worker)
        worker.target = worker.leases[0]

    def see_replace(self, replace: ev.Replace) -> None:
        worker = self.workers[replace.worker]
        assert worker.available
        assert worker.user is not NOBODY
        waiting = [job for job in self.jobs.values() if job.can_start() or job.wants_alone]
        others = [job for job in waiting if job.submit.user != worker.user]
        assert any(all(held for held in map(len, (w.leases for w in self.team(job)))) for job in others)
        worker.retired = True

    def see_finish(self, finish: ev.Finish) -> None:
        job = self.jobs[finish.job]
        assert not job.finishes
        assert set(job.blocks) <= FINAL
        assert job.merging is None
        failed = [n for n, state in enumerate(job.blocks) if state == "failed"]
        assert [block for block, _ in finish.failed] == failed
        assert finish.outcome == (job.stopping or ("done_with_failures" if failed else "done"))
        assert finish.counts == self.core.counts(finish.job)
        job.finishes.append(finish)

    def see_notify(self, notify: ev.Notify) -> None:
        assert notify.job in self.jobs

    def see_reject(self, reject: ev.Reject) -> None:
        raise AssertionError(f"unexpected: {reject}")

    def must_die(self, worker: Worker) -> bool:
        if not worker.leases:
            return False
        job = self.jobs[worker.leases[0].job]
        limit_s = job.submit.block_timeout_s
        late = limit_s is not None and worker.since_s is not None and self.now_s - worker.since_s > limit_s
        return job.stopping is not None or late

    # --------------------------------------------------------------------- what goes in

    @initialize(workers=st.integers(1, 4), first=JOBS, second=JOBS)
    def start(self, workers, first, second):
        for number in range(workers):
            self.ready(number)
        self.submit(first)
        self.submit(second)

    @precondition(lambda self: len(self.jobs) < 6)
    @rule(options=JOBS)
    def submit(self, options):
        name = f"job-{len(self.jobs)}"
        submit = ev.Submit(name, **options)
        blocks = ["pending"] * submit.count
        for block in options["done"]:
            blocks[block] = "skipped"
        self.jobs[name] = Job(submit, len(self.jobs), blocks, submit.sealed, priority=submit.priority)
        self.feed(submit)

    @precondition(lambda self: len(self.workers) < 5)
    @rule(number=st.integers(0, 6))
    def ready(self, number):
        if number in self.workers:
            assert self.effects(ev.Ready(number)) == []  # a doubled hello
        else:
            self.workers[number] = Worker()
            self.feed(ev.Ready(number))

    def close_lease(self, pick: int) -> ev.Assign:
        """Choose any open lease, and take it off its worker."""
        leases = [lease for worker in self.workers.values() for lease in worker.leases]
        lease = leases[pick % len(leases)]
        worker = self.workers[lease.worker]
        if worker.leases[0] is lease:
            worker.since_s = None
        worker.leases.remove(lease)
        self.past.append(lease)
        return lease

    def has_leases(self) -> bool:
        return any(worker.leases for worker in self.workers.values())

    @precondition(lambda self: self.has_leases() or self.merging_jobs())
    @rule(picks=st.lists(PICK, min_size=4, max_size=12), short=st.booleans())
    def work_goes_on(self, picks, short):
        for pick in picks:
            if pick % 3 == 0 and self.merging_jobs():
                self.end_merge(pick, success=True)
            elif self.has_leases():
                self.answer(pick, SHORT_S if short else LONG_S)

    @precondition(lambda self: self.has_leases())
    @rule(pick=PICK, short=st.booleans())
    def one_answer(self, pick, short):
        self.answer(pick, SHORT_S if short else LONG_S)

    # Where a job is stopping, an answer may have its worker killed before the next one is taken in.
    @precondition(lambda self: self.has_leases() and not any(j.stopping for j in self.jobs.values()))
    @rule(picks=st.lists(PICK, min_size=2, max_size=6), short=st.booleans())
    def several_answers_at_once(self, picks, short):
        seconds, events = SHORT_S if short else LONG_S, []
        for pick in picks:
            if self.has_leases():
                lease = self.close_lease(pick)
                self.jobs[lease.job].done(lease, seconds)
                events.append(ev.Done(lease.worker, lease.job, lease.block, lease.attempt, seconds))
        self.see(self.core.handle_all(events))

    def answer(self, pick: int, seconds: float) -> None:
        lease = self.close_lease(pick)
        self.jobs[lease.job].done(lease, seconds)
        self.feed(ev.Done(lease.worker, lease.job, lease.block, lease.attempt, seconds))

    @precondition(lambda self: self.has_leases())
    @rule(pick=PICK, retry=st.sampled_from([True, True, False]), memory=st.booleans())
    def fails(self, pick, retry, memory):
        lease = self.close_lease(pick)
        self.jobs[lease.job].fail(lease.block, retry, memory=memory or (lease.alone and retry))
        answer = (lease.worker, lease.job, lease.block, lease.attempt)
        self.feed(ev.Failed(*answer, "broken", retry, memory))

    @precondition(lambda self: self.past)
    @rule(pick=PICK, success=st.booleans())
    def late_or_doubled_answer(self, pick, success):
        lease = self.past[pick % len(self.past)]
        self.feed_stale(lease.worker, lease.job, lease.block, lease.attempt, success)

    def feed_stale(self, worker: int, job: str, block: int, attempt: int, success: bool) -> None:
        """An answer without a lease: nothing follows, and the model stays as it is."""
        answer = (worker, job, block, attempt)
        assert not self.core.holds(*answer)
        assert self.effects(ev.Done(*answer, LONG_S) if success else ev.Failed(*answer, "late")) == []

    def leased_again(self) -> list[ev.Assign]:
        return [x for worker in self.workers.values() for x in worker.leases if x.attempt > 1]

    @precondition(lambda self: self.leased_again())
    @rule(pick=PICK, success=st.booleans())
    def answer_to_an_earlier_lease_of_what_the_worker_has(self, pick, success):
        leases = self.leased_again()
        lease = leases[pick % len(leases)]
        self.feed_stale(lease.worker, lease.job, lease.block, lease.attempt - 1, success)

    @precondition(lambda self: self.workers and self.steps % 3 == 0)
    @rule(pick=PICK, memory=st.booleans())
    def worker_lost(self, pick, memory):
        self.lose(sorted(self.workers)[pick % len(self.workers)], memory)

    @precondition(lambda self: any(worker.target for worker in self.workers.values()))
    @rule(answers_before=st.booleans())
    def killed_worker_gone(self, answers_before):
        number, worker = next((n, w) for n, w in self.workers.items() if w.target)
        if answers_before and worker.target in worker.leases:
            leases = [lease for w in self.workers.values() for lease in w.leases]
            self.answer(leases.index(worker.target), LONG_S)
        self.lose(number)

    def retired(self) -> list[int]:
        return [number for number, worker in self.workers.items() if worker.retired and not worker.leases]

    @precondition(lambda self: self.retired())
    @rule()
    def a_fresh_worker_comes(self):
        self.lose(self.retired()[0])
        self.fresh_worker()

    def fresh_worker(self) -> None:
        number = max([50, *self.workers]) + 1
        self.workers[number] = Worker()
        self.feed(ev.Ready(number))

    def lose(self, number: int, memory: bool = False) -> None:
        worker = self.workers.pop(number)
        self.past += worker.leases
        for index, lease in enumerate(worker.leases):
            job = self.jobs[lease.job]
            if index == 0 and worker.target in (None, lease) and job.stopping is None:
                job.fail(lease.block, retry=True, memory=memory or lease.alone, killed=True)
            else:
                job.give_back(lease.block, alone=lease.alone)
        self.feed(ev.Lost(number, "gone", memory=memory))

    @precondition(lambda self: self.steps % 7 == 0)
    @rule(number=st.integers(100, 101))
    def unknown_worker(self, number):
        assert self.effects(ev.Lost(number, "?")) == self.effects(ev.Retire(number)) == []

    @precondition(lambda self: self.workers and self.steps % 5 == 0)
    @rule(pick=PICK)
    def retire(self, pick):
        number = sorted(self.workers)[pick % len(self.workers)]
        self.workers[number].retired = True
        self.feed(ev.Retire(number))

    def merging_jobs(self) -> list[str]:
        return [name for name, job in self.jobs.items() if job.merging]

    @precondition(lambda self: self.merging_jobs())
    @rule(pick=PICK, success=st.sampled_from([True, True, False]))
    def one_merge_ends(self, pick, success):
        self.end_merge(pick, success)

    def end_merge(self, pick: int, success: bool) -> None:
        names = self.merging_jobs()
        name = names[pick % len(names)]
        job = self.jobs[name]
        assert job.merging is not None
        block, job.merging = job.merging.block, None
        bad = "failed" if job.stopping is None else "cancelled"
        job.blocks[block] = "done" if success else bad
        if not success:
            job.stop("failed")
        self.feed(ev.Merged(name, block) if success else ev.MergeFailed(name, block, "disk full"))

    @precondition(lambda self: self.steps % 4 == 0)
    @rule(number=st.integers(0, 7), block=st.integers(0, 40))
    def unasked_merge(self, number, block):
        job = self.jobs.get(f"job-{number}")
        if job is None or job.merging is None or job.merging.block != block:
            assert self.effects(ev.Merged(f"job-{number}", block)) == []

    def live_job(self, pick: int) -> str | None:
        names = [name for name, job in self.jobs.items() if job.live]
        return names[pick % len(names)] if names else None

    @precondition(lambda self: self.steps % 4 == 0)
    @rule(pick=PICK)
    def cancel(self, pick):
        if (name := self.live_job(pick)) is not None:
            self.jobs[name].stop("cancelled")
            self.feed(ev.Cancel(name))

    @rule(pick=PICK, paused=st.booleans())
    def pause_or_resume(self, pick, paused):
        if (name := self.live_job(pick)) is not None:
            self.jobs[name].paused = paused
            self.feed(ev.Pause(name) if paused else ev.Resume(name))

    @rule(pick=PICK, priority=st.integers(-1, 2))
    def reprioritise(self, pick, priority):
        if (name := self.live_job(pick)) is not None:
            self.jobs[name].priority = priority
            self.feed(ev.Reprioritise(name, priority))

    @rule(busy=st.integers(1, 4))
    def allow(self, busy):
        self.allowed = busy
        self.feed(ev.Allow(busy))

    @rule(workers=st.integers(0, 6))
    def expect(self, workers):
        self.expected = workers
        self.feed(ev.Expect(workers))

    @rule(pick=PICK, more=st.integers(0, 5), sealed=st.booleans())
    def extend(self, pick, more, sealed):
        name = self.live_job(pick)
        if name is not None and not self.jobs[name].sealed:
            self.jobs[name].blocks += ["pending"] * more
            self.jobs[name].sealed = sealed
            self.feed(ev.Extend(name, more, sealed))

    @precondition(lambda self: any(not job.live for job in self.jobs.values()))
    @rule(pick=PICK, kind=st.sampled_from([ev.Cancel, ev.Pause, ev.Resume, lambda name: ev.Extend(name, 1)]))
    def request_about_an_ended_job(self, pick, kind):
        names = [name for name, job in self.jobs.items() if not job.live]
        (reject,) = self.core.handle(kind(names[pick % len(names)]))
        assert type(reject) is ev.Reject

    @rule(seconds=st.sampled_from([0.0, 1.0, 4.0, 6.0]))
    def tick(self, seconds):
        self.now_s += seconds
        for worker in self.workers.values():
            if worker.leases and worker.since_s is None:
                worker.since_s = self.now_s
        self.feed(ev.Tick(self.now_s))

    @precondition(lambda self: self.steps > 40 and self.steps % 3 == 0)
    @rule()
    def drain(self):
        self.draining = True
        assert self.effects(ev.Drain()) == []

    @precondition(lambda self: self.draining)
    @rule()
    def undrain(self):
        self.draining = False
        self.feed(ev.Undrain())

    # ------------------------------------------------------------------- what must hold

    @invariant()
    def leases_are_those_of_the_model(self):
        self.steps += 1
        for number, worker in self.workers.items():
            assert list(self.core.leases(number)) == worker.leases
        assert self.core.busy == self.busy()
        unmerged = any(job.waiting or job.merging for job in self.jobs.values())
        assert self.core.quiet == (not self.has_leases() and not unmerged)

    @invariant()
    def progress_adds_up(self):
        for name, job in self.jobs.items():
            states = job.blocks
            expected = ev.BlockCounts(
                count=len(states),
                pending=states.count("pending"),
                running=states.count("leased"),
                waiting_merge=states.count("waiting"),
                done=states.count("done"),
                skipped=states.count("skipped"),
                failed=states.count("failed"),
                cancelled=states.count("cancelled"),
                retries=job.retries,
            )
            assert self.core.counts(name) == expected
            finals = {n: s for n, s in enumerate(states) if s in ("done", "failed")}
            assert job.persisted == finals
            assert job.attempted == sum(job.failures.values())

    @invariant()
    def the_bound_on_open_blocks_holds(self):
        for job in self.jobs.values():
            assert job.submit.max_open is None or job.open <= job.submit.max_open

    @invariant()
    def nothing_that_can_go_on_stands_still(self):
        self.leases_are_given_out()
        for job in self.jobs.values():
            assert job.merging or job.stopping or job.next_merge() is None
            through = set(job.blocks) <= FINAL and (job.sealed or job.stopping is not None)
            assert len(job.finishes) == through
        for worker in self.workers.values():
            assert worker.target or not self.must_die(worker)

    def leases_are_given_out(self):
        if self.draining or self.alone_lease() or self.busy() > self.allowed:
            return
        startable = [job for job in self.jobs.values() if job.can_start()]
        if alone := [job for job in self.jobs.values() if job.wants_alone]:
            assert self.has_leases() or not all(map(self.candidates, alone))
        elif startable and not any(map(self.is_held_back, startable)):
            least = 1 if any(map(self.keeps_for_others, startable)) else 2
            assert all(min(self.candidates(job), default=99) >= least for job in startable)

    def teardown(self):
        for name, job in self.jobs.items():
            if job.live and (job.paused or not job.sealed or self.draining):
                self.let_end(name, job)
        self.expect(len(self.workers))
        while self.take_a_step_to_the_end():
            pass
        self.progress_adds_up()
        for job in self.jobs.values():
            assert len(job.finishes) == 1
            assert set(job.blocks) <= FINAL
            assert len(set(job.merged)) == len(job.merged)
            if job.submit.ordered:
                assert job.merged == sorted(job.merged)
        assert self.core.busy == 0

    def take_a_step_to_the_end(self) -> bool:
        killed = [number for number, worker in self.workers.items() if worker.target]
        if killed:
            self.lose(killed[0])
        elif retired := self.retired():
            self.lose(retired[0])
            self.fresh_worker()
        elif len(self.workers) < self.expected or not any(
            worker.available for worker in self.workers.values()
        ):
            self.fresh_worker()
        elif self.merging_jobs():
            self.end_merge(0, success=True)
        elif self.has_leases():
            self.answer(0, LONG_S)
        else:
            return self.time_changes_something()
        return True

    def time_changes_something(self) -> bool:
        """Whether what stands still goes on after some ticks: an idle worker is given up for another user."""
        return any(self.core_acts_after_a_tick() for _ in range(4))

    def core_acts_after_a_tick(self) -> bool:
        self.now_s += 1.0
        return bool(self.feed(ev.Tick(self.now_s)))

    def let_end(self, name: str, job: Job) -> None:
        """Take away what may keep a job from its end for ever."""
        if job.paused:
            job.paused = False
            self.feed(ev.Resume(name))
        if not job.sealed:
            job.sealed = True
            self.feed(ev.Extend(name, 0, sealed=True))
        if self.draining and job.live:
            job.stop("cancelled")
            self.feed(ev.Cancel(name))


CoordinatorMachine.TestCase.settings = settings(max_examples=250, stateful_step_count=50, deadline=None)
TestTheCoordinatorUnderAnyOrderOfEvents = CoordinatorMachine.TestCase
