"""The configuration of the service: every key that its files know, with type, unit and default.

`configfiles` reads it from its places; ``blockmill config schema`` hands it to editors.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .explain import Complaint, complaints_of
from .fields import Extent, Positive, Size, Text

WorkerCount = Annotated[Extent, Field(le=1024)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _all_commented_out(cls, data: object) -> object:
        return {} if data is None else data


class Recycling(_Section):
    """When a worker is replaced by a fresh one, between two blocks."""

    tasks: Extent | None = None
    """After so many blocks."""
    age_s: Positive | None = None
    """After so many seconds."""
    growth: Size | None = None
    """Once its memory has grown by so much since its first block."""


class Workers(_Section):
    """The worker processes."""

    count: WorkerCount | None = None
    """How many; default: one per usable processor."""
    memory: Size | None = None
    """What all of them together may take, such as 24GiB."""
    memory_per_worker: Size | None = None
    """What one may take; it is killed beyond, and its block tried again alone."""
    recycle: Recycling = Recycling()


class Config(_Section):
    """All that can be set of a service."""

    socket: Text | None = None
    """Where it listens; default: in the runtime folder."""
    state_dir: Text | None = None
    """Journal and logs of jobs; default: the state folder of the user or the unit."""
    history_days: Positive = 30.0
    """How long ended jobs are kept."""
    workers: Workers = Workers()


@cache
def config_schema() -> dict[str, Any]:
    """JSON Schema of a configuration file."""
    return Config.model_json_schema()


def check_config(data: object) -> Config | list[Complaint]:
    """The configuration that a mapping stands for, or all that is wrong with it."""
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        return complaints_of(error, config_schema())
