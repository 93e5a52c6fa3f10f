"""Clashes of jobs on disk: one writes files that another reads or writes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ....shared.jobs.staged import AnyJob
from ....shared.messages.records import JobInfo
from ....shared.volumes.claims import Claims, claims_of, reads_of
from ....shared.volumes.registry import split_address, split_input


@dataclass(frozen=True, slots=True)
class JobFiles:
    """The files that a job reads, and the files that its output owns."""

    reads: Mapping[str, Claims]
    claims: Mapping[str, Claims]

    @classmethod
    def of(cls, job: AnyJob, *, follow_links: bool) -> JobFiles:
        """Look up the files of a job, with the rights that the thread has at present.

        Parameters
        ----------
        job : Job or StagedJob
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
        outputs = job.outputs_by_key().items()
        return cls(reads, {key: claims_of(split_address(output.address)) for key, output in outputs})

    def by_key(self) -> Iterator[tuple[str, Claims]]:
        """All of them, each with its key in a job file."""
        yield from self.reads.items()
        yield from self.claims.items()

    def clash(self, earlier: JobFiles) -> str | None:
        """The first conflict with an earlier job that has not ended.

        Returns
        -------
        str or None
            In words, such as "reads /data/a.npy, which this job would replace"; None: there is none.
        """
        if (path := _meeting(self.claims, earlier.claims)) is not None:
            return f"writes {path}, as this job would"
        if (path := _meeting(self.claims, earlier.reads)) is not None:
            return f"reads {path}, which this job would replace"
        if (path := _meeting(earlier.claims, self.reads)) is not None:
            return f"writes {path}, which this job reads"
        return None


def _meeting(some: Mapping[str, Claims], others: Mapping[str, Claims]) -> str | None:
    """The path in `others` that meets one of the first, or None."""
    pairs = itertools.product(some.values(), others.values())
    return next((path for one, other in pairs if (path := one.meeting(other)) is not None), None)


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
