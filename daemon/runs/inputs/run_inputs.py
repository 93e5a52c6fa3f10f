"""The inputs of a run: opened together for its plan, and looked at again at its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from ....shared.errors import JobError
from ....shared.geometry.grid import BlockGrid
from ....shared.geometry.reads import Reads
from ....shared.geometry.roi import Shape
from ....shared.jobs.job import Job
from ....shared.jobs.volumes import MASK, InputVolume
from ....shared.messages import engine as wire
from ....shared.operations.base import UNNAMED
from ....shared.volumes.base.api import Volume
from ....shared.volumes.base.info import Meaning
from ....shared.volumes.claims import Claims, reads_of
from ....shared.volumes.registry import Address, format_of, open_at, split_address, split_input
from ...planning.plan import Plan
from ..outputs.ownership import refuse_own_input
from .input_check import InputCheck, input_check_of
from .input_state import input_changed, input_state


class RunInput:
    """One input of a run.

    Parameters
    ----------
    said : InputVolume
        What the job says of it.

    Raises
    ------
    JobError
        If workers can't open it.

    Attributes
    ----------
    address : Address
    reads : Claims
        All files that it leads to.
    """

    def __init__(self, said: InputVolume, address: Address | None = None) -> None:
        self.said = said
        self.address: Address = address or split_input(said.address)
        if not format_of(self.address).in_workers:
            raise JobError(
                f"input: {said.address} is opened by {self.address.format}, in this process alone, and "
                "workers are others; install a package with an entry point of the group blockmill.formats"
            )
        self.reads: Claims = reads_of(self.address)
        self.shape: Shape = ()
        self.dtype = np.dtype(np.uint8)
        self.check = InputCheck()
        self._state: dict[str, str] = {}

    def open(self) -> Volume:
        """The volume, for reading."""
        return open_at(self.address, self.said.address, live=self.said.live)

    def note(self, volume: Volume, *, check: bool) -> None:
        """Note shape, dtype, state of the files, and how its blocks are checked.

        Parameters
        ----------
        volume : Volume
            It, opened.
        check : bool
            The job wants its stored blocks checked.
        """
        self.shape, self.dtype = volume.shape, volume.dtype
        self.check = input_check_of(self.said, self.address, volume) if check else InputCheck()
        self._state = input_state(self.address, self.reads, live=self.said.live)

    def identity(self) -> dict[str, Any]:
        """Its part of the job's identity."""
        return {"shape": self.shape, "dtype": self.dtype.str, **self._state}

    def changed(self) -> bool:
        """Test if its files are no longer as they were."""
        return input_changed(self.said, self.address, reads_of(self.address), self._state)

    def source(self, name: str) -> wire.Source:
        """What workers need to open it, by the name that the operation has for it."""
        extent = self.shape if self.said.live else None
        at = self.address
        place = wire.VolumePlace(at.format, at.file, at.internal)
        return wire.Source(self.said.address, name, live_extent=extent, check=self.check.recipe, place=place)


@dataclass(frozen=True, slots=True)
class _PlannedVolume:
    """The facts of a volume that is not there yet, as far as a plan needs them."""

    shape: Shape
    dtype: np.dtype
    axes: str
    address: str
    meaning: Meaning

    def close(self) -> None:
        """Do nothing: no file is open."""


class MadeInput(RunInput):
    """An input that another run makes before this one is executed.

    Parameters
    ----------
    said : InputVolume
    plan : Plan
        Of that run.
    identity_hash : str
        Stands for the files, which are not there yet.
    """

    def __init__(self, said: InputVolume, plan: Plan, identity_hash: str) -> None:
        super().__init__(said, split_address(said.address))
        self._plan = plan
        self._hash = identity_hash
        self._is_checked = False

    def open(self) -> Volume:
        """A volume with nothing but the facts of the plan."""
        plan = self._plan
        return cast(
            Volume, _PlannedVolume(plan.shape, plan.dtype, plan.axes, self.said.address, plan.meaning)
        )

    def note(self, volume: Volume, *, check: bool) -> None:
        """Note shape and dtype; there is no file yet."""
        self.shape, self.dtype = volume.shape, volume.dtype
        self._is_checked = check

    def identity(self) -> dict[str, Any]:
        """Its part of the job's identity: that of the run that makes it."""
        return {"shape": self.shape, "dtype": self.dtype.str, "stage": self._hash}

    def changed(self) -> bool:
        """False: nobody else writes it."""
        return False

    def source(self, name: str) -> wire.Source:
        """See `RunInput.source`; the volume is there by now."""
        if self._is_checked and Path(self.address.file).exists():
            with closing(super().open()) as volume:
                self.check = input_check_of(self.said, self.address, volume)
        return super().source(name)


class RunInputs:
    """All inputs of a run, by their names.

    Parameters
    ----------
    job : Job
    output : Address
        Must meet none of them.
    made : dict of str to (Plan, str)
        For inputs that another run makes before, its plan and the hash of its identity.

    Raises
    ------
    JobError
        If the output would replace part of an input.
    """

    def __init__(self, job: Job, output: Address, made: Mapping[str, tuple[Plan, str]]) -> None:
        self._job = job
        self.by_name = {
            name: MadeInput(said, *made[name]) if name in made else RunInput(said)
            for name, said in job.inputs.items()
        }
        self.mask: RunInput | None = None
        if job.mask is not None:
            self.mask = MadeInput(job.mask, *made[MASK]) if MASK in made else RunInput(job.mask)
        for name, one in self._all():
            if name not in made:
                refuse_own_input(one.address, one.reads, output)

    def _all(self) -> list[tuple[str, RunInput]]:
        """The inputs and the mask."""
        return [*self.by_name.items(), *([(MASK, self.mask)] if self.mask is not None else [])]

    @property
    def reads(self) -> Claims:
        """All files that the inputs lead to."""
        claims = [one.reads for _, one in self._all()]
        files = tuple(place for one in claims for place in one.files)
        return Claims(files, tuple(tree for one in claims for tree in one.trees))

    @contextmanager
    def opened(self) -> Iterator[Mapping[str, Volume]]:
        """Open all of them for the time of a plan.

        Yields
        ------
        dict of str to Volume
        """
        with ExitStack() as stack:
            volumes: dict[str, Volume] = {}
            for name, one in self.by_name.items():
                volumes[name] = one.open()
                stack.callback(volumes[name].close)
            yield volumes

    def note(self, volumes: Mapping[str, Volume]) -> None:
        """Note the facts of the opened inputs; see `RunInput.note`."""
        for name, one in self.by_name.items():
            one.note(volumes[name], check=self._job.check_input)
        if self.mask is not None:
            with closing(self.mask.open()) as volume:
                self.mask.note(volume, check=self._job.check_input)
            if self.mask.shape != self.shape:
                raise JobError(
                    f"mask: {self.mask.said.address} has shape {list(self.mask.shape)}, and the input has "
                    f"{list(self.shape)}; a mask has the shape of the input"
                )

    def identity(self) -> dict[str, Any]:
        """Their part of the job's identity."""
        mask = {} if self.mask is None else {"mask_is": self.mask.identity()}
        if [*self.by_name] == [UNNAMED]:
            return {"input_is": self.by_name[UNNAMED].identity(), **mask}
        return {"inputs_are": {name: one.identity() for name, one in self.by_name.items()}, **mask}

    def sources(self) -> tuple[wire.Source, ...]:
        """What workers need to open them."""
        return tuple(one.source(name) for name, one in self.by_name.items())

    def mask_source(self) -> wire.Source | None:
        """What workers need to open the mask."""
        return None if self.mask is None else self.mask.source("mask")

    def notes(self) -> Iterator[str]:
        """Reasons why inputs of ours are not checked, for people."""
        return (one.check.note for _, one in self._all() if one.check.note)

    def changed(self) -> str:
        """The address of an input that is no longer as it was, or an empty text."""
        return next((one.said.address for _, one in self._all() if one.changed()), "")

    def unchecked(self, tasks: BlockGrid, reads: Reads, unrecorded: int) -> tuple[int, int] | None:
        """How many stored blocks a finished job has read without a check, and how many it has read.

        Parameters
        ----------
        tasks : BlockGrid
            Task blocks.
        reads : Reads
            What they read of each input.
        unrecorded : int
            Blocks that were to be checked and have no checksum.

        Returns
        -------
        tuple of int, or None
            None if no input is ours, or the job does not want them checked.
        """
        checks = [one.check for one in self.by_name.values()]
        if len(checks) == 1:
            return checks[0].unchecked(tasks, reads, unrecorded)
        counts = [count for check in checks if (count := check.unchecked(tasks, reads, 0)) is not None]
        if not counts:
            return None
        return sum(unchecked for unchecked, _ in counts) + unrecorded, sum(read for _, read in counts)

    @property
    def itemsize(self) -> int:
        """Bytes that are read for one voxel of all inputs."""
        return sum(one.dtype.itemsize for one in self.by_name.values())

    @property
    def shape(self) -> Shape:
        """Voxels per axis of each input."""
        return next(iter(self.by_name.values())).shape
