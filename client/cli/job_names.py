"""Jobs that verbs are given, by number, name or label, and their shell completion."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

import click
from click.shell_completion import CompletionItem

from ...shared.errors import BlockmillError
from ...shared.messages.records import JobInfo
from ...shared.units import format_count, format_duration
from ..formatting.output import complain
from ..service.client import Client
from ..service.references import JobFilter, applies, chosen, labelled

_PATIENCE_S = 0.2
_MAX_JOBS = 100


def select(
    service: Client,
    jobs: Iterable[int | str],
    job_filter: JobFilter = "all",
    *,
    label: str | None = None,
    everything: bool = False,
) -> list[int]:
    """The numbers of the jobs that a verb was given, each once.

    Parameters
    ----------
    service : Client
    jobs : iterable of int or str
        Numbers and names.
    job_filter : JobFilter
        Jobs to which the verb applies.
    label : str, optional
        All jobs with it to which the verb applies.
    everything : bool
        All jobs to which the verb applies.

    Returns
    -------
    list of int

    Raises
    ------
    NoSuchJob, Refused
        If there is no such job, or a name means several.
    """
    if everything or label is not None:
        return [info.id for info in labelled(label, service.find(label=label), job_filter)]
    return list(dict.fromkeys(select_one(service, job, job_filter) for job in jobs))


def check_selection(jobs: Sequence[int | str], label: str | None, **flags: bool) -> None:
    """Check that a verb was given either jobs, or a label, or an option for all.

    Parameters
    ----------
    jobs : sequence of int or str
    label : str or None
    **flags
        The option for all, by its name without dashes.

    Raises
    ------
    click.UsageError
    """
    if bool(jobs) + (label is not None) + sum(flags.values()) != 1:
        options = " or ".join(f"--{name}" for name in ("label", *flags))
        raise click.UsageError(f"name jobs by their numbers or names, or give {options}")


def select_one(service: Client, job: int | str, job_filter: JobFilter = "all") -> int:
    """The number of one job; which one a name means is told if several have it.

    Parameters
    ----------
    service : Client
    job : int or str
        A number or a name.
    job_filter : JobFilter
        Jobs to which the verb applies.

    Returns
    -------
    int

    Raises
    ------
    NoSuchJob, Refused
        As of `select`.
    """
    if isinstance(job, int):
        return job
    found = service.find(name=job)
    info = chosen(job, found, job_filter)
    if len(found) > 1:
        complain(f"{job} is job {info.id}, of {format_count(len(found), 'job')} of this name")
    return info.id


def complete_jobs(context: click.Context, incomplete: str, job_filter: JobFilter) -> list[CompletionItem]:
    """Complete a number or a name; there is nothing to complete if no service answers at once.

    Parameters
    ----------
    context : click.Context
        With the parameters entered so far.
    incomplete : str
        The characters entered so far.
    job_filter : JobFilter
        Jobs to which the verb applies.

    Returns
    -------
    list of CompletionItem
        With name and state as help, for shells that show it.
    """
    entered = {str(job) for job in context.params.get("jobs") or ()}
    try:
        with Client(context.params.get("socket"), timeout_s=_PATIENCE_S) as service:
            jobs = [info for info in service.jobs(limit=_MAX_JOBS) if applies(info, job_filter)]
    except (BlockmillError, OSError):
        return []  # the command itself reports that when it runs
    return [
        item
        for item in (*_numbers(jobs), *_names(jobs, job_filter))
        if item.value.startswith(incomplete) and item.value not in entered
    ]


def _numbers(jobs: Iterable[JobInfo]) -> Iterator[CompletionItem]:
    for info in jobs:
        yield CompletionItem(str(info.id), help=f"{info.name} ({_state(info)})")


def _names(jobs: Sequence[JobInfo], job_filter: JobFilter) -> Iterator[CompletionItem]:
    """The names that mean one of these jobs, as far as a shell takes them as they are."""
    for name in dict.fromkeys(info.name for info in jobs):
        found = [info for info in jobs if info.name == name]
        if name.isdigit() or name.startswith("-") or shlex.quote(name) != name:
            continue
        if job_filter == "all" or len(found) == 1:
            info = chosen(name, found, job_filter)
            yield CompletionItem(name, help=f"job {info.id} ({_state(info)})")


def _state(info: JobInfo) -> str:
    left = "" if info.eta_s is None or info.ended else f", {format_duration(info.eta_s)} left"
    return info.state.replace("_", " ") + left
