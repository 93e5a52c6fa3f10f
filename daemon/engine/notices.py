"""What submitters are told beside results and ends: news of their blocks, and what workers print."""

from __future__ import annotations

from collections.abc import Iterable

from ..executors.local.outbox import Outbox
from ..executors.local.worker_log import Printed
from ..scheduling.events import Notify, Reject
from .handle import Notice
from .job import EngineJob

_WHAT_BECOMES = {"retry": "is tried again", "given_up": "is given up", "quarantined": "is set aside"}


class Notices:
    """The way to the submitters, as `Outbox` is the one to the workers.

    Parameters
    ----------
    jobs : dict of str to EngineJob
        Those of the engine, by name.
    post : Outbox
        Knows which task a worker was in when it printed something.
    """

    def __init__(self, jobs: dict[str, EngineJob], outbox: Outbox) -> None:
        self._jobs = jobs
        self._outbox = outbox

    def notify(self, action: Notify) -> None:
        """Tell what becomes of a block that failed."""
        if (job := self._jobs.get(action.job)) is None:
            return
        roi = job.spec.blocks.roi_of(action.block)
        text = f"block {roi} {_WHAT_BECOMES[action.kind]} after attempt {action.attempt}: {action.reason}"
        kind = "retry" if action.kind == "retry" else "failed"
        job.handle.put(Notice(text, kind, action.worker, roi.start, action.attempt))

    def reject(self, action: Reject) -> None:
        """Tell why a request can't be met."""
        if (job := self._jobs.get(action.job)) is not None:
            job.handle.put(Notice(action.reason))

    def relay(self, output: Iterable[Printed]) -> None:
        """Hand what workers have printed to the jobs for which they did; to all where nobody knows."""
        for printed in output:
            lease = printed.lease or self._outbox.lease_of(printed.worker, printed.running)
            job = self._jobs.get(lease.job) if lease is not None else None
            if job is not None and lease is not None:
                start = job.spec.blocks.roi_of(lease.block).start
                job.handle.put(Notice(printed.text, "printed", printed.worker, start, lease.attempt))
            elif lease is None:
                self.tell_all(Notice(printed.text, "printed", printed.worker))

    def tell_all(self, notice: Notice) -> None:
        """Tell the submitter of every job."""
        for job in self._jobs.values():
            job.handle.put(notice)
