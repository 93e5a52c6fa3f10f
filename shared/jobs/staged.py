"""Jobs of several stages: what one makes, the next ones read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, Field, ValidationError, model_validator

from ..bounds import MOST_STEPS
from ..operations.base import Operation
from ..operations.registry import OperationField
from ..schema.bounded_model import BoundedModel, Problems, errors_below, mistakes_at
from ..schema.fields import CountPerAxis, Extents, RoiField, ShortForm, nearest
from ..volumes.base.output_options import OutputOptions
from ..volumes.claims import stages_folder
from ..volumes.registry import split_address
from .job import Job, relative_paths_of
from .paths import with_absolute_paths
from .settings import JobSettings, with_settings_described
from .volumes import MASK, InputField, InputVolume, OneInput, OutputField, checked_names


class Stage(BoundedModel):
    """One stage of a job; the keys mean the same as those of `Job`.

    Attributes
    ----------
    input : InputVolume, or dict of str to InputVolume
        The name of one of the job's `inputs`, or of an earlier stage, may stand for an address.
    output : OutputOptions, optional
        Default: a volume that is removed when the job is done.
    operation : Operation
    mask : InputVolume, optional
    roi : Roi, optional
    block_shape : tuple of int, optional
    halo : int or tuple of int, optional
    """

    input: InputField
    output: Annotated[OutputField, ShortForm("address")] | None = None
    operation: OperationField
    mask: OneInput | None = None
    roi: RoiField | None = None
    block_shape: Extents | None = None
    halo: CountPerAxis | None = None

    def sources(self) -> Mapping[str, InputVolume]:
        """The inputs by the names that the operation has for them; empty: an only one."""
        return {"": self.input} if isinstance(self.input, InputVolume) else self.input

    def volumes(self) -> Mapping[tuple[str, ...], InputVolume]:
        """All volumes that it reads, by the path of their keys."""
        found = {("input", name) if name else ("input",): volume for name, volume in self.sources().items()}
        return found if self.mask is None else found | {("mask",): self.mask}


class StageJob(NamedTuple):
    """A stage as a job of its own.

    Attributes
    ----------
    name : str
    job : Job
    made : dict of str
        For each of its inputs that another stage makes, and for its mask, the name of that stage.
    temporary : bool
        Its output is removed when all stages are done.
    """

    name: str
    job: Job
    made: Mapping[str, str]
    temporary: bool


_Names = AfterValidator(checked_names)


class StagedJob(JobSettings):
    """A job of several stages, done one after the other; each reads inputs, or what earlier ones have made.

    How it is run say the fields of `JobSettings`.

    Attributes
    ----------
    inputs : dict of str to InputVolume
        Names for volumes that stages read.
    stages : dict of str to Stage
        They are done in this order, as far as each comes after those whose results it reads. The last one
        has an output.

    Raises
    ------
    JobError
        One line per mistake, each with its key.
    """

    inputs: Annotated[dict[str, OneInput], Field(max_length=MOST_STEPS), _Names] = {}  # noqa: RUF012
    stages: Annotated[dict[str, Stage], Field(min_length=1, max_length=MOST_STEPS), _Names]

    @model_validator(mode="after")
    def _stages_fit(self) -> StagedJob:
        if problems := [*_problems(self)]:
            raise mistakes_at(problems)
        _ = self.stage_jobs  # checks each stage as a job
        return self

    @classmethod
    def schema_of_files(cls) -> dict[str, Any]:
        """JSON Schema of a job file with stages."""
        return _schema()

    @property
    def output(self) -> OutputOptions:
        """The output of the last stage."""
        output = self.stages[self.sequence[-1]].output
        assert output is not None, "checked when made"
        return output

    @property
    def operations(self) -> list[Operation]:
        """The operations of all stages."""
        return [stage.operation for stage in self.stages.values()]

    @property
    def user_functions(self) -> tuple[str, ...]:
        """The user's own functions that it calls."""
        return tuple(dict.fromkeys(name for one in self.operations for name in one.user_functions))

    @property
    def preloads(self) -> tuple[str, ...]:
        """Modules that workers share if their nursery imports them."""
        return tuple(dict.fromkeys(name for one in self.operations for name in one.preloads))

    def inputs_by_key(self) -> Mapping[str, InputVolume]:
        """The volumes that it reads and does not make itself, by their keys in a job file."""
        found = {f"inputs.{name}": volume for name, volume in self.inputs.items()}
        for stage_name, stage in self.stages.items():
            for path, volume in stage.volumes().items():
                if volume.address not in self.inputs and volume.address not in self.stages:
                    found[".".join(("stages", stage_name, *path))] = volume
        return found

    def outputs_by_key(self) -> Mapping[str, OutputOptions]:
        """The outputs that stay, by their keys in a job file; the last one is the job's."""
        stages = self.stages.items()
        return {f"stages.{name}.output": stage.output for name, stage in stages if stage.output is not None}

    def relative_paths(self) -> list[str]:
        """Those paths of the job that mean another file in another working folder, with their keys."""
        return relative_paths_of(self)

    def resolved(self, folder: str | Path) -> StagedJob:
        """The same job with all its paths absolute. Relative ones are taken from `folder`."""
        return StagedJob.of(with_absolute_paths(self.model_dump(mode="json"), Path(folder)))

    @cached_property
    def sequence(self) -> tuple[str, ...]:
        """The names of the stages in the order in which they are done, but for those that read each other."""
        ordered: list[str] = []
        remaining = [*self.stages]
        while remaining:
            ready = [name for name in remaining if not self._reads_any(name, remaining)]
            if not ready:
                break
            ordered.append(ready[0])
            remaining.remove(ready[0])
        return tuple(ordered)

    def _reads_any(self, name: str, others: list[str]) -> bool:
        return any(volume.address in others for volume in self.stages[name].volumes().values())

    def temporary_folder(self) -> Path:
        """The folder of the volumes that are removed when it is done: beside the last output, hidden."""
        return stages_folder(Path(split_address(self.output.address).file))

    @cached_property
    def stage_jobs(self) -> tuple[StageJob, ...]:
        """Each stage as a job of its own, in their order."""
        return tuple(self._stage_job(name, self.stages[name]) for name in self.sequence)

    def _stage_job(self, name: str, stage: Stage) -> StageJob:
        made: dict[str, str] = {}
        sources: dict[str, Any] = {}
        for key, volume in stage.sources().items():
            if volume.address in self.stages:
                made[key or "input"] = volume.address
            sources[key] = self._resolved_source(volume)
        if stage.mask is not None and stage.mask.address in self.stages:
            made[MASK] = stage.mask.address
        mask = None if stage.mask is None else self._resolved_source(stage.mask)
        keys = {key: getattr(stage, key) for key in ("operation", "roi", "block_shape", "halo")}
        volumes = {"input": sources.get("", sources), "mask": mask, "output": self._output_of(name)}
        try:
            job = Job.model_validate(self.settings() | keys | volumes)
        except ValidationError as error:
            raise errors_below(("stages", name), error) from None
        return StageJob(name, job, made, stage.output is None)

    def _resolved_source(self, volume: InputVolume) -> InputVolume:
        """What an input is for the stage: a name stands for a volume."""
        if volume.address in self.stages:
            return volume.model_copy(update={"address": self._address_of(volume.address)})
        return self.inputs.get(volume.address, volume)

    def _address_of(self, name: str) -> str:
        output = self.stages[name].output
        return str(self.temporary_folder() / f"{name}.json") if output is None else output.address

    def _output_of(self, name: str) -> dict[str, Any]:
        """The output of a stage; a temporary one is checked by its checksums, and need not be synced."""
        stage = self.stages[name]
        if stage.output is not None:
            return stage.output.model_dump(mode="json")
        return {"address": self._address_of(name), "durability": "none", "block_shape": stage.block_shape}


AnyJob = Job | StagedJob


def _problems(job: StagedJob) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What does not fit between the stages."""
    if both := [name for name in job.stages if name in job.inputs]:
        yield ("stages", both[0]), "has the name of an input; give it another one"
    if circle := [name for name in job.stages if name not in job.sequence]:
        yield ("stages", circle[0]), f"reads what is made of its own result; look at {', '.join(circle)}"
        return
    read: set[str] = set()
    for name, stage in job.stages.items():
        for path, volume in stage.volumes().items():
            read.add(volume.address)
            yield from _misspelled(job, ("stages", name, *path), volume.address)
    for name, stage in job.stages.items():
        if stage.output is None and name not in read:
            yield ("stages", name), "is read by no other stage, so it needs an output"
    if unused := [name for name in job.inputs if name not in read]:
        yield ("inputs", unused[0]), "is read by no stage; leave it out"


def _misspelled(job: StagedJob, path: tuple[str | int, ...], address: str) -> Problems:
    """A word that is like a name, and is none."""
    names = [*job.inputs, *job.stages]
    is_word = address.rpartition("/")[2].isidentifier() and address not in names
    if is_word and (guess := nearest(address.rpartition("/")[2], names)):
        return [(path, f"there is no input and no stage of this name; did you mean {guess}?")]
    return []


@cache
def _schema() -> dict[str, Any]:
    return with_settings_described(StagedJob.model_json_schema())
