"""The settings of a job that say how it is run, and not what it makes; the base of all jobs."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import ValidationError, model_validator

from ..errors import JobError
from ..schema.bounded_model import BoundedModel, within_bounds
from ..schema.complaints import complaints_of, left_out
from ..schema.fields import Count, Extent, Integer, JobReferences, PositiveFloat, Size, Switch, Text


class _ToldInPlainWords(type(BoundedModel)):
    """Makes ``Job(...)`` raise a JobError; pydantic's own way in, `model_validate`, stays as it is."""

    if not TYPE_CHECKING:  # checkers go on to see the fields as parameters

        def __call__(cls, *args, **fields):
            try:
                return super().__call__(*args, **fields)
            except ValidationError as error:
                raise _job_error(cls, error) from None


class JobSettings(BoundedModel, metaclass=_ToldInPlainWords):
    """How a job is run.

    Attributes
    ----------
    name : str, optional
        For people; `load_job` takes the stem of the file.
    label : str, optional
        For people, to find jobs of a kind in the service.
    workers : int, optional
        Worker processes; default: one per usable core.
    memory_per_worker : int, optional
        Bytes; in files also ``2GiB``, for which ``2G`` may stand; ``2GB`` is decimal.
    retries : int
        Further attempts at a block that failed.
    on_error : {"fail", "finish"}
        A block that failed in its last attempt ends the job, or the other blocks go on.
    block_timeout_s : float, optional
        Longest time for one attempt at a block.
    user_code : str, optional
        Folder in which the workers find the user's own modules.
    check_input : bool
        Compare the stored blocks of an input that a job wrote with the checksums of that job, as
        they are read.
    order : {"arrival", "block"}
        The order in which results are merged: as they come, or by block number.
    priority : int
        In the service: higher goes first.
    after : tuple of int or str
        In the service: numbers or names of jobs that must be done before this one starts.
    """

    name: Text | None = None
    label: Text | None = None
    workers: Extent | None = None
    memory_per_worker: Size | None = None
    retries: Count = 2
    on_error: Literal["fail", "finish"] = "fail"
    block_timeout_s: PositiveFloat | None = None
    user_code: Text | None = None
    check_input: Switch = True
    order: Literal["arrival", "block"] = "arrival"
    priority: Integer = 0
    after: JobReferences = ()

    @model_validator(mode="before")
    @classmethod
    def _within_bounds(cls, data: object) -> object:
        return within_bounds(data)

    @classmethod
    def of(cls, data: object) -> Self:
        """Make a job from a mapping as in a job file.

        Raises
        ------
        JobError
            One line per mistake, each with its key.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise _job_error(cls, error) from None

    def settings(self) -> dict[str, Any]:
        """These fields alone, by their names."""
        return {name: getattr(self, name) for name in JobSettings.model_fields}


def with_settings_described(schema: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a job with what the settings mean, and with them at the end."""
    attributes = (inspect.getdoc(JobSettings) or "").partition("----------\n")[2]
    description = schema["description"].replace("\n\nRaises\n", f"\n{attributes}\n\nRaises\n", 1)
    keys, settings = schema["properties"], JobSettings.model_fields
    order = ["name", "label", *(key for key in keys if key not in settings)]
    order += [key for key in keys if key not in order]
    return schema | {"description": description, "properties": {key: keys[key] for key in order}}


def _job_error(kind: Any, error: ValidationError) -> JobError:
    return JobError("\n".join([*map(str, complaints_of(error, kind.schema_of_files())), *left_out(error)]))
