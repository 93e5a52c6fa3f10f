"""The two kinds of output: block files that workers write, and one file that the run merges."""

from __future__ import annotations

from ...shared.jobs.job import Job
from ...shared.volumes.formats import Address
from ..planning.plan import Plan
from .fileset_output import FilesetOutput
from .merged_output import MergedOutput
from .output_base import Output


def output_for(target: Address, job: Job, plan: Plan) -> Output:
    """The output for an address and a plan.

    Parameters
    ----------
    target : Address
    job : Job
    plan : Plan

    Returns
    -------
    Output

    Raises
    ------
    JobError
        If options don't fit the kind of output.
    """
    if target.kind == "fileset":
        return FilesetOutput(target, job, plan)
    return MergedOutput(target, job, plan)
