"""``blockmill apply``: an operation on a volume, without a job file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from ....shared.errors import BlockmillError
from .. import options
from ..groups import JOBS, verb

if TYPE_CHECKING:
    from ....shared.jobs.job import Job
    from ..running import RunOptions

_EPILOG = """\b
blockmill apply gaussian cells.json smooth.json sigma=1.5
blockmill apply gaussian in.h5/data out.h5/data 'sigma={z: 1, yx: 2}' --set roi='[[0, 0, 0], [64, 64, 64]]'
blockmill apply threshold cells.json mask.json above=100 --set output.block_shape='[64, 64, 64]'
blockmill apply scipy.ndimage:median_filter in.npy out.npy size=3 --set halo=1"""


def _operations(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from ....shared.operations.registry import operation_names

    return [CompletionItem(name) for name in operation_names() if name.startswith(incomplete)]


def _parameters(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from ....shared.operations.registry import operation_class, operation_names

    operation = context.params.get("operation")
    fields = operation_class(operation).model_fields if operation in operation_names() else ()
    names = [f"{name}=" for name in fields]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@verb(JOBS, short_help="Run one operation here and now, without a job file.", epilog=_EPILOG)
@click.argument("operation", metavar="OPERATION", shell_complete=_operations)
@click.argument("source", metavar="INPUT", type=options.FILE)
@click.argument("target", metavar="OUTPUT", type=options.FILE)
@click.argument("parameters", metavar="[KEY=VALUE...]", nargs=-1, shell_complete=_parameters)
@click.option(
    "--set", "settings", metavar="KEY=VALUE", multiple=True, help="Another key of job files; may be repeated."
)
@options.running
def command(
    operation: str,
    source: str,
    target: str,
    parameters: tuple[str, ...],
    settings: tuple[str, ...],
    run_options: RunOptions,
) -> int:
    """Run one operation on a volume here and now, without a job file.

    OPERATION is its name in job files, such as gaussian, or MODULE:FUNCTION for a function of Python, whose
    arguments the parameters are then. Values are written as in a job file (YAML), keys below others with
    dots. All operations and keys are in blockmill-job(5).
    """
    from ..job_files import complain_of
    from ..running import run_job

    words = ["blockmill", "apply", operation, source, target, *parameters]
    for setting in settings:
        words += ["--set", setting]
    try:
        job = _job(operation, source, target, parameters, settings)
    except BlockmillError as error:
        return complain_of("-", error)
    return run_job(job, "-", run_options, shlex.join(words))


def _job(
    operation: str, source: str, target: str, parameters: tuple[str, ...], settings: tuple[str, ...]
) -> Job:
    """The job that a file with these keys would hold."""
    from ....shared.jobs.job import Job
    from ..assignments import Assignments

    given = Assignments(parameters).content
    name = operation
    if ":" in operation:
        name, given = "python", {"function": operation, "args": given}
    keys = Assignments(
        settings, {"input": {"address": source}, "output": {"address": target}, "operation": {name: given}}
    ).content
    keys.setdefault("name", operation.rpartition(":")[2])
    return Job.of(keys).resolved(Path.cwd())
