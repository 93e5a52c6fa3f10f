"""News for submitters beside results and ends: failed blocks, and the output of workers."""

from __future__ import annotations

from collections.abc import Iterable

from ..executors.api import Printed
from ..scheduling.events import Notify, Reject
from .handle import Notice
from .job import EngineJob

_CONSEQUENCES = {"retry": "is tried again", "given_up": "is given up", "quarantined": "is set aside"}


class Notices:
    """Sends news to the submitters.

    Parameters
    ----------
    jobs : dict of str to EngineJob
        The engine's jobs, by name.
    """

    def __init__(self, jobs: dict[str, EngineJob]) -> None:
        self._jobs = jobs

    def notify(self, action: Notify) -> None:
        """Report that a failed block is tried again, or has failed for good."""
        if (job := self._jobs.get(action.job)) is None:
            return
        roi = job.spec.blocks.roi_of(action.block)
        text = f"block {roi} {_CONSEQUENCES[action.kind]} after attempt {action.attempt}: {action.reason}"
        kind = "retry" if action.kind == "retry" else "failed"
        job.handle.put(Notice(text, kind, action.worker, roi.start, action.attempt))

    def reject(self, action: Reject) -> None:
        """Report why a request can't be met."""
        if (job := self._jobs.get(action.job)) is not None:
            job.handle.put(Notice(action.reason))

    def relay(self, output: Iterable[Printed]) -> None:
        """Hand each line of output to the job whose task printed it.

        If that is unknown, it goes to all jobs, as far as they are of the worker's user.
        """
        for printed in output:
            lease = printed.lease
            job = self._jobs.get(lease.job) if lease is not None else None
            if job is not None and lease is not None:
                start = job.spec.blocks.roi_of(lease.block).start
                job.handle.put(Notice(printed.text, "printed", printed.worker, start, lease.attempt))
            elif lease is None:
                notice = Notice(printed.text, "printed", printed.worker)
                for job in self._jobs.values():
                    if printed.uid in (None, job.uid):
                        job.handle.put(notice)

    def send_to_all(self, notice: Notice) -> None:
        """Send a notice to the submitter of every job."""
        for job in self._jobs.values():
            job.handle.put(notice)
