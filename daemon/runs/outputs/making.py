"""The output of a job: a volume, or a table."""

from __future__ import annotations

from ....shared.jobs.job import Job
from ....shared.volumes.registry import Address, format_of
from ...planning.plan import Plan
from .output import Output
from .table_output import TableOutput


def output_of(target: Address, job: Job, plan: Plan, *, reserve: bool = True) -> Output:
    """The output at an address.

    Parameters
    ----------
    target : Address
    job : Job
    plan : Plan
    reserve : bool
        See `Output`.

    Returns
    -------
    Output
    """
    kind = TableOutput if format_of(target).holds_table else Output
    return kind(target, job, plan, reserve=reserve)
