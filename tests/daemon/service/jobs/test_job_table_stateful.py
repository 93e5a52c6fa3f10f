"""The table of jobs under any order of requests and ends, and through restarts."""

import contextlib

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from blockmill.daemon.journal.records import JobRecord
from blockmill.daemon.service.jobs.job_table import JobTable
from blockmill.shared.errors import NoSuchJob, Refused

PICK = st.integers(0, 99)
MOST_ACTIVE = 3
OUTCOMES = st.sampled_from(["done", "done", "done_with_failures", "failed"])
STATES = ("queued", "running", "cancelling", "done", "done_with_failures", "failed", "cancelled")
ENDED = {"done", "done_with_failures", "failed", "cancelled"}


class BookMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.table = JobTable()
        self.journal: dict[int, bytes] = {}
        self.states: dict[int, str] = {}  # as of the last look
        self.seen: dict[int, tuple[int, bytes]] = {}  # number of the news and the record, by job
        self.now_s = 0.0
        self.paused_all = ""
        self.last_id = 0
        self.unaccepted: set[int] = set()

    def info(self, number):
        return self.table.get(number).info

    def pick(self, pick, *states):
        candidates = [n for n in self.journal if self.info(n).state in states]
        return candidates[pick % len(candidates)] if candidates else None

    def write_down(self):
        for job_record in self.table.take_changes():
            self.journal[job_record.info.id] = msgspec.json.encode(job_record)

    @rule(after=st.lists(PICK, max_size=3), priority=st.integers(-1, 1), output=st.integers(0, 9))
    def submit(self, after, priority, output):
        self.now_s += 1
        follows = tuple(
            number for number in (self.pick(p, "queued", "running", "done") for p in after) if number
        )
        token = f"t{self.now_s}"
        options = {"name": "n", "owner": 1, "output": f"o{output}", "now_s": self.now_s, "priority": priority}
        writers = [
            n for n in self.journal if self.states[n] not in ENDED and self.info(n).output == f"o{output}"
        ]
        try:
            job_record = self.table.submit({"a": 1}, token=token, after=follows, **options)
        except Refused as error:
            assert writers, error
            assert any(f"job {n}" in str(error) for n in writers)
            return
        assert job_record.info.id > self.last_id
        assert self.table.submit({}, token=token, **options).info.id == job_record.info.id
        self.last_id = job_record.info.id
        self.unaccepted.add(job_record.info.id)
        self.write_down()

    @rule(pick=PICK)
    def accept(self, pick):
        if (number := self.pick(pick, "queued")) is not None:
            self.table.accept(number)
            self.unaccepted.discard(number)

    @rule()
    def start(self):
        self.now_s += 1
        job_record = self.table.next_to_start(self.now_s, MOST_ACTIVE)
        self.write_down()
        ready = [n for n in self.journal if self.states.get(n) == "queued" and self.may_start(n)]
        if job_record is None:
            assert self.paused_all or len(self.running()) >= MOST_ACTIVE or not ready
            return
        info = job_record.info
        assert not self.paused_all
        assert info.id in ready
        assert info.priority == max(self.info(n).priority for n in ready)
        assert (info.state, info.running, info.ended_s) == ("running", 0, None)

    def may_start(self, number):
        info = self.info(number)
        if info.paused or number in self.unaccepted:
            return False
        return all(self.state(n) == "done" for n in info.after)

    def state(self, number):
        """The state of a job as of the last look; one that was removed while others follow it was done."""
        return self.states.get(number, "done")

    def running(self):
        return [n for n in self.journal if self.states.get(n) in ("running", "cancelling")]

    @precondition(lambda self: self.running())
    @rule(pick=PICK, outcome=OUTCOMES, blocks=st.integers(1, 5))
    def end(self, pick, outcome, blocks):
        self.now_s += 1
        number = self.running()[pick % len(self.running())]
        if self.states[number] == "cancelling":
            outcome = "cancelled"
        failed = 1 if outcome == "done_with_failures" else 0
        self.table.note_plan(number, blocks, 0)
        assert not self.table.get(number).overwrite
        ended = self.table.end(number, outcome, "why", self.now_s, done=blocks - failed, failed=failed)
        self.write_down()
        followers = {n for n in self.journal if self.follows(n, number) and self.states[n] == "queued"}
        assert set(ended) == ({number} if outcome == "done" else {number} | followers)
        for one in set(ended) - {number}:
            assert self.info(one).state == "cancelled"
            assert "which it follows" in self.info(one).reason

    def follows(self, number, before):
        after = self.info(number).after
        return before in after or any(self.state(n) == "queued" and self.follows(n, before) for n in after)

    @rule(pick=PICK)
    def put_back(self, pick):
        if (number := self.pick(pick, "running")) is not None:
            self.table.put_back(number, "the engine broke down")
            assert self.info(number).state == "queued"

    @rule(pick=PICK)
    def cancel(self, pick):
        self.now_s += 1
        if (number := self.pick(pick, "queued", "running", "cancelling")) is not None:
            was = self.info(number).state
            ended = self.table.cancel(number, self.now_s)
            assert (ended is None) == (was != "queued")
            assert self.info(number).state == ("cancelled" if was == "queued" else "cancelling")

    @rule(pick=PICK, failed_only=st.booleans())
    def retry(self, pick, failed_only):
        if (number := self.pick(pick, "done_with_failures", "failed", "cancelled")) is None:
            return
        before = self.info(number)
        all_ended = before.blocks is not None and before.done + before.failed == before.blocks
        with contextlib.suppress(Refused):
            job_record = self.table.retry(number, failed_only)
            assert all_ended or not failed_only
            assert job_record.info.state == "queued"

    @rule(pick=PICK, paused=st.booleans())
    def pause(self, pick, paused):
        if (number := self.pick(pick, "queued", "running")) is not None:
            if not paused and self.paused_all and self.info(number).state == "queued":
                with pytest.raises(Refused, match="resume --all"):
                    self.table.resume((number,))
                return
            affected = self.table.pause((number,), "ann") if paused else self.table.resume((number,))
            assert affected == ([number] if self.info(number).state == "running" else [])
            assert self.info(number).paused == paused

    @rule(paused=st.booleans())
    def pause_all(self, paused):
        self.paused_all = "all, by ann" if paused else ""
        affected = self.table.pause(None, "ann") if paused else self.table.resume(None)
        assert set(affected) == set(self.running())

    @invariant()
    def a_job_that_no_one_starts_shows_who_has_paused_it(self):
        for number in self.journal:
            info = self.info(number)
            if info.state == "queued":
                assert info.paused_by == self.paused_all
                assert info.paused or not self.paused_all

    @precondition(lambda self: self.journal)
    @rule(pick=PICK)
    def requests_that_make_no_sense(self, pick):
        for verb in (
            self.table.get,
            lambda n: self.table.cancel(n, 0.0),
            lambda n: self.table.pause((n,), "ann"),
        ):
            with contextlib.suppress(NoSuchJob):
                verb(1000)
                raise AssertionError("there is no such job")
        if (number := self.pick(pick, "done")) is not None:
            for verb in (lambda n: self.table.retry(n, False), lambda n: self.table.cancel(n, 0.0)):
                with contextlib.suppress(Refused):
                    verb(number)
                    raise AssertionError("a done job has nothing to do")

    @rule()
    def crash(self):
        """The service dies; what is journaled is all that is left."""
        self.write_down()
        records = [msgspec.json.decode(text, type=JobRecord) for text in self.journal.values()]
        self.table = JobTable(records, last_id=self.last_id, paused_all=self.paused_all)
        self.unaccepted.clear()
        assert not [n for n in self.journal if self.info(n).state == "running"]
        for number, state in self.states.items():
            expected = "queued" if state == "running" else state
            assert self.info(number).state == expected

    @rule(keep_s=st.integers(0, 30), most=st.integers(0, 5))
    def prune(self, keep_s, most):
        self.write_down()
        ended = {n: self.info(n).ended_s for n in self.journal if self.states[n] in ENDED}
        pruned = self.table.prune(self.now_s, keep_s, most)
        needed = {n for number in self.journal for n in self.info_after(number)}
        for number in pruned:
            assert self.states.pop(number) in ENDED
            assert number not in needed
            del self.journal[number], self.seen[number]
        remaining = [n for n in ended if n in self.journal and n not in needed]
        assert len(remaining) <= most
        assert all(ended[n] >= self.now_s - keep_s for n in remaining)
        young = [ended[n] for n in pruned if ended[n] >= self.now_s - keep_s]
        if young:  # they went because there were too many: the oldest ones, and no more than need be
            assert len(remaining) == most
            assert max(young) <= min((ended[n] for n in remaining), default=self.now_s)

    @rule(pick=PICK, with_others=st.integers(0, 3))
    def remove(self, pick, with_others):
        self.write_down()
        numbers = {n for p in range(pick, pick + with_others + 1) if (n := self.pick(p, *STATES))}
        kept = [n for n in self.journal if n not in numbers]
        needed = {b for n in kept for b in self.info_after(n) if b in numbers and self.states[b] != "done"}
        if needed or any(self.states[n] not in ENDED for n in numbers):
            with pytest.raises(Refused):
                self.table.remove(numbers)
            return
        assert {job_record.info.id for job_record in self.table.remove(numbers)} == numbers
        for number in numbers:
            del self.journal[number], self.seen[number], self.states[number]

    @rule()
    def remove_ended(self):
        self.write_down()
        for job_record in self.table.remove_ended(1):
            number = job_record.info.id
            assert self.states.pop(number) in ENDED
            del self.journal[number], self.seen[number]
        left = {b for n in self.journal for b in self.info_after(n)}
        assert all(state not in ENDED or n in left for n, state in self.states.items())

    def info_after(self, number):
        return msgspec.json.decode(self.journal[number], type=JobRecord).info.after

    @invariant()
    def ended_jobs_stay_ended_and_the_counter_grows(self):
        self.write_down()
        for number in self.journal:
            info = self.info(number)
            self.states[number] = info.state
            if info.state in ENDED:
                self.unaccepted.discard(number)
            assert (info.ended_s is not None) == (info.state in ENDED)
            if info.state == "running":
                assert all(self.state(n) == "done" for n in info.after)
        for number in self.journal:
            text = self.journal[number]
            assert (
                self.info(number).seen > self.seen.get(number, (-1, b""))[0] or self.seen[number][1] == text
            )
            self.seen[number] = (self.info(number).seen, text)
        assert self.table.active == set(self.running())
        assert len(self.running()) <= MOST_ACTIVE
        listed = [info.id for info in self.table.list(limit=1000)]
        assert sorted(listed) == sorted(self.journal)
        alive = [info.state in ENDED for info in self.table.list(limit=1000)]
        assert alive == sorted(alive)


BookMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestTheBookUnderAnyOrderOfRequests = BookMachine.TestCase
