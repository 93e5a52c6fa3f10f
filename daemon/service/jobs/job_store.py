"""All jobs of a service by number: open ones as they are, ended ones packed, since they become many.

A packed record takes about a tenth of the memory. What jobs are looked for by stays beside it, so that a
search unpacks none but those that it finds.
"""

from __future__ import annotations

import heapq
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, MutableMapping

import msgspec

from ....shared.messages.records import JobInfo, State
from ...journal.records import JobRecord

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(JobRecord).decode


class _Ended(msgspec.Struct, frozen=True, gc=False):
    """An ended job: what it is looked for by, and its record."""

    ended_s: float
    state: State
    name: str
    label: str
    owner: int
    after: tuple[int, ...]
    packed: bytes

    @classmethod
    def of(cls, info: JobInfo, packed: bytes) -> _Ended:
        name, label = sys.intern(info.name), sys.intern(info.label)
        return cls(info.ended_s or 0.0, info.state, name, label, info.owner, info.after, packed)


class JobStore(MutableMapping[int, JobRecord]):
    """A mapping of numbers to jobs.

    Parameters
    ----------
    records : iterable of JobRecord
    """

    def __init__(self, records: Iterable[JobRecord] = ()) -> None:
        self._open: dict[int, JobRecord] = {}
        self._ended: dict[int, _Ended] = {}
        self._sample = b""  # the first packed record: others are much like it, and pack the better for it
        for job_record in records:
            self[job_record.info.id] = job_record

    def __getitem__(self, number: int) -> JobRecord:
        if number in self._open:
            return self._open[number]
        return _unpack(zlib.decompressobj(zdict=self._sample).decompress(self._ended[number].packed))

    def __setitem__(self, number: int, job_record: JobRecord) -> None:
        if job_record.info.ended:
            plain = _pack(job_record)
            self._sample = self._sample or plain
            packer = zlib.compressobj(zdict=self._sample)
            self._ended[number] = _Ended.of(job_record.info, packer.compress(plain) + packer.flush())
            self._open.pop(number, None)
        else:
            self._open[number] = job_record
            self._ended.pop(number, None)

    def __delitem__(self, number: int) -> None:
        del (self._open if number in self._open else self._ended)[number]

    def __contains__(self, number: object) -> bool:
        return number in self._open or number in self._ended

    def __iter__(self) -> Iterator[int]:
        yield from self._open
        yield from self._ended

    def __len__(self) -> int:
        return len(self._open) + len(self._ended)

    @property
    def open(self) -> Mapping[int, JobRecord]:
        """The jobs that have not ended."""
        return self._open

    def newest_ended(self, states: tuple[State, ...], label: str | None, limit: int) -> list[JobInfo]:
        """The ended jobs that ended last, the last one first.

        Parameters
        ----------
        states : tuple of str
            Only jobs in these states; empty: in all.
        label : str, optional
            Only jobs with this label.
        limit : int
            Most jobs to return.

        Returns
        -------
        list of JobInfo
        """
        found = (
            (ended.ended_s, number)
            for number, ended in self._ended.items()
            if (not states or ended.state in states) and (label is None or ended.label == label)
        )
        return [self[number].info for _, number in heapq.nlargest(limit, found)]

    def matching(self, name: str | None, label: str | None, ended: bool | None) -> list[tuple[int, int]]:
        """Number and owner of the jobs of a name and a label.

        Parameters
        ----------
        name, label : str, optional
        ended : bool, optional
            Only jobs that have ended, or that have not.

        Returns
        -------
        list of (int, int)
        """
        return [
            (number, job.owner)
            for number, job in self._all()
            if (name is None or job.name == name)
            and (label is None or job.label == label)
            and (ended is None or isinstance(job, _Ended) == ended)
        ]

    def _all(self) -> Iterator[tuple[int, JobInfo | _Ended]]:
        """All jobs with what they are looked for by; none is unpacked."""
        yield from ((number, job_record.info) for number, job_record in self._open.items())
        yield from self._ended.items()

    def followers(self) -> Iterator[tuple[int, int]]:
        """Pairs of a job and one that comes after it."""
        return ((before, number) for number, job in self._all() for before in job.after)

    def after_of(self, number: int) -> tuple[int, ...]:
        """The jobs that a job follows; none if it is unknown."""
        if number in self._open:
            return self._open[number].info.after
        return self._ended[number].after if number in self._ended else ()

    def is_done(self, number: int) -> bool:
        """Test if a job has ended as done."""
        return number in self._ended and self._ended[number].state == "done"

    def newest_named(self, owner: int, names: set[str]) -> dict[str, int]:
        """The newest job of each of these names, as far as their owner has one.

        Parameters
        ----------
        owner : int
            User number.
        names : set of str

        Returns
        -------
        dict
        """
        newest: dict[str, int] = {}
        for number, job in self._all() if names else ():
            if job.name in names and job.owner == owner:
                newest[job.name] = max(number, newest.get(job.name, 0))
        return newest

    def expired(self, before_s: float, most: int) -> list[int]:
        """Ended jobs that no other job follows, and that are too old or, oldest first, too many.

        Parameters
        ----------
        before_s : float
            Jobs that ended before this time are too old, in seconds since the epoch.
        most : int
            Most of them to keep.

        Returns
        -------
        list of int
        """
        followed = {before for before, _ in self.followers()}
        ages = sorted((e.ended_s, number) for number, e in self._ended.items() if number not in followed)
        beyond = max(len(ages) - most, 0)
        return [n for index, (ended_s, n) in enumerate(ages) if index < beyond or ended_s < before_s]
