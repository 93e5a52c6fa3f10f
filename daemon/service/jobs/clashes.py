"""Jobs that would meet on disk: one writes what another reads or writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ....shared.jobs.job import Job
from ....shared.messages.records import JobInfo
from ....shared.volumes.claims import Claims, claims_of, reads_of
from ....shared.volumes.formats import split_address


@dataclass(frozen=True, slots=True)
class JobPlaces:
    """The files that a job reads, and those that its output owns."""

    reads: Claims
    claims: Claims

    @classmethod
    def of(cls, job: Job, *, follow_links: bool) -> JobPlaces:
        """Look a job's places up, as the user whose rights the thread has.

        Parameters
        ----------
        job : Job
        follow_links : bool
            Open HDF5 inputs to find the other files that they lead to, which may take long.
        """
        source, target = split_address(job.input.address), split_address(job.output.address)
        return cls(reads_of(source, follow_links=follow_links), claims_of(target))

    def by_key(self) -> Iterator[tuple[str, Claims]]:
        """Both, each with its key in a job file."""
        yield "input", self.reads
        yield "output", self.claims

    def clash(self, earlier: JobPlaces) -> str | None:
        """The effect of an earlier job, not ended, on a file that this one needs, in words; None: none.

        Returns
        -------
        str or None
            Such as "reads /data/a.npy, which this job would replace".
        """
        if (met := self.claims.meeting(earlier.claims)) is not None:
            return f"writes {met}, as this job would"
        if (met := self.claims.meeting(earlier.reads)) is not None:
            return f"reads {met}, which this job would replace"
        if (met := earlier.claims.meeting(self.reads)) is not None:
            return f"writes {met}, which this job reads"
        return None


class KnownPlaces:
    """Where jobs read and write, by their numbers, as far as that could be looked up."""

    def __init__(self) -> None:
        self._places: dict[int, JobPlaces] = {}

    def note(self, number: int, places: JobPlaces | None) -> None:
        """Note the places of a job; None where they are not known."""
        if places is not None:
            self._places[number] = places

    def of(self, number: int) -> JobPlaces | None:
        """The places of a job; None where they are not known."""
        return self._places.get(number)

    def forget(self, number: int) -> None:
        """Forget the places of a job that is forgotten."""
        self._places.pop(number, None)

    def clash(self, places: JobPlaces | None, output: str, earlier: JobInfo) -> str | None:
        """What an earlier job does to a place that a new one needs; None: nothing that is known.

        Parameters
        ----------
        places : JobPlaces or None
            Of the new job.
        output : str
            Address of its output.
        earlier : JobInfo
            A job that has not ended.

        Returns
        -------
        str or None
            Such as "writes /data/a.npy".
        """
        if earlier.output == output:
            return f"writes {output}"
        if places is None or (theirs := self._places.get(earlier.id)) is None:
            return None
        return places.clash(theirs)
