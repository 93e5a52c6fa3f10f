"""Clashes of jobs on disk: one writes files that another reads or writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ....shared.jobs.job import Job
from ....shared.messages.records import JobInfo
from ....shared.volumes.claims import Claims, claims_of, reads_of
from ....shared.volumes.registry import split_address, split_input


@dataclass(frozen=True, slots=True)
class JobFiles:
    """The files that a job reads, and the files that its output owns."""

    reads: Mapping[str, Claims]
    claims: Claims

    @classmethod
    def of(cls, job: Job, *, follow_links: bool) -> JobFiles:
        """Look up the files of a job, with the rights that the thread has at present.

        Parameters
        ----------
        job : Job
        follow_links : bool
            Open HDF5 inputs to find the other files that they lead to, which may take long.

        Returns
        -------
        JobFiles
        """
        reads = {
            key: reads_of(split_input(volume.address), follow_links=follow_links)
            for key, volume in job.inputs_by_key().items()
        }
        return cls(reads, claims_of(split_address(job.output.address)))

    def by_key(self) -> Iterator[tuple[str, Claims]]:
        """All of them, each with its key in a job file."""
        yield from self.reads.items()
        yield "output", self.claims

    def clash(self, earlier: JobFiles) -> str | None:
        """The first conflict with an earlier job that has not ended.

        Returns
        -------
        str or None
            In words, such as "reads /data/a.npy, which this job would replace"; None: there is none.
        """
        if (path := self.claims.meeting(earlier.claims)) is not None:
            return f"writes {path}, as this job would"
        for reads in earlier.reads.values():
            if (path := self.claims.meeting(reads)) is not None:
                return f"reads {path}, which this job would replace"
        for reads in self.reads.values():
            if (path := earlier.claims.meeting(reads)) is not None:
                return f"writes {path}, which this job reads"
        return None


class JobFilesTable:
    """The files of jobs, by their numbers, as far as they could be looked up."""

    def __init__(self) -> None:
        self._files: dict[int, JobFiles] = {}

    def note(self, number: int, files: JobFiles | None) -> None:
        """Note the files of a job.

        Parameters
        ----------
        number : int
        files : JobFiles or None
            None: they are unknown.
        """
        if files is not None:
            self._files[number] = files

    def of(self, number: int) -> JobFiles | None:
        """The files of a job; None if they are unknown."""
        return self._files.get(number)

    def forget(self, number: int) -> None:
        """Forget the files of a job."""
        self._files.pop(number, None)

    def clash(self, files: JobFiles | None, output: str, earlier: JobInfo) -> str | None:
        """The first conflict of a new job with an earlier one, as far as their files are known.

        Parameters
        ----------
        files : JobFiles or None
            Files of the new job.
        output : str
            Address of its output.
        earlier : JobInfo
            A job that has not ended.

        Returns
        -------
        str or None
            In words, such as "writes /data/a.npy"; None: no conflict is known.
        """
        if earlier.output == output:
            return f"writes {output}"
        if files is None or (earlier_files := self._files.get(earlier.id)) is None:
            return None
        return files.clash(earlier_files)
