"""The configuration of the service: every key that its files know, with type, unit and default.

`layers` reads it from its places; ``blockmill config schema`` hands it to editors.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError, model_validator

from ..schema.bounded_model import BoundedModel
from ..schema.complaints import Complaint, complaints_of, left_out
from ..schema.fields import Extent, Integer, PositiveFloat, Size, Text

Paths = tuple[Text, ...]
Names = tuple[Text, ...]
WorkerCount = Annotated[Extent, Field(le=1024)]


class _Section(BoundedModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _all_commented_out(cls, data: object) -> object:
        return {} if data is None else data


class Recycling(_Section):
    """When a worker is replaced by a fresh one, between two blocks."""

    tasks: Extent | None = None
    """After so many blocks."""
    age_s: PositiveFloat | None = None
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


class Access(_Section):
    """Who may do what, and which files jobs may name."""

    group: Text | None = None
    """Members of this group may use the socket; default: only the service's own user."""
    admins: Names = ()
    """Users who may cancel, retry and read the logs of everybody's jobs."""
    data_roots: Paths | None = None
    """Folders below which inputs and outputs must lie; default: whatever their owner may reach, for
    a service of one person; none at all for one of the system (`serve --system`)."""
    user_code: Paths = ()
    """Folders below which the `user_code` of a job must lie; none named: anywhere for a service of
    one person, nowhere for one of the system. Whoever may write there may do all that it may."""


class Limits(_Section):
    """How much is taken in before a request is refused."""

    message: Size = 1 << 20
    """Longest request of a client."""
    queue: Extent = 10_000
    """Jobs that have not ended, of everybody."""
    jobs_per_user: Extent = 1_000
    """Jobs that have not ended, of one user."""
    blocks_per_user: Extent = 1_000_000_000
    """Blocks of one user's jobs that have not ended."""
    priority: Integer = 0
    """Highest priority that users may give to their jobs; only admins go above. Lower ones are free."""
    connections: Extent = 512
    """Clients of each listening socket at any time; bounded below the number of files that the process
    may open."""


class Tcp(_Section):
    """Listening on the network, where clients prove who they are by CURVE keys."""

    listen: Text | None = None
    """Such as 192.168.1.10:5640; default: no."""
    keys: Text | None = None
    """Folder with the service's key and those of its clients; default: keys in the configuration folder."""


class Config(_Section):
    """All that can be set of a service."""

    socket: Text | None = None
    """Where it listens; default: in the runtime folder."""
    state_dir: Text | None = None
    """Journal and logs of jobs; default: the state folder of the user or the unit."""
    history_days: PositiveFloat = 30.0
    """How long ended jobs are kept."""
    workers: Workers = Workers()
    access: Access = Access()
    limits: Limits = Limits()
    tcp: Tcp = Tcp()


@cache
def config_schema() -> dict[str, Any]:
    """JSON Schema of a configuration file."""
    return Config.model_json_schema()


def check_config(data: object) -> Config | list[Complaint]:
    """The configuration that a mapping stands for, or all that is wrong with it."""
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        rest = [Complaint((), text) for text in left_out(error)]
        return [*complaints_of(error, config_schema()), *rest]
