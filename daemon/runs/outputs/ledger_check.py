"""The comparison of an output's blocks with its ledger, by the workers, before a run goes on with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ....shared.errors import EngineError
from ....shared.geometry.grid import BlockGrid
from ....shared.geometry.roi import Roi
from ....shared.messages import engine as wire
from ....shared.volumes.registry import Address
from ...engine.engine import Engine
from ...engine.handle import Ended, JobHandle, Notice, failure_text
from ...engine.job import JobOwner, JobSpec
from ...scheduling.events import Attempted, Persist
from .ledger_completion import refused_to_read

_CANCEL_S = 3.0


class WorkersCompare:
    """Has workers read blocks and compare their voxels with their checksums; see `CompareBlocks`.

    Parameters
    ----------
    engine : Engine
    grid : BlockGrid
        Task blocks.
    retries : int
        Further attempts at a block whose worker has died.
    number : int or None
        Number of the job in the engine's list of workers.
    owner : JobOwner
    started : callable
        Takes the handle of the comparison.
    poll : callable
        Called many times a second; it may raise to end this.
    tell : callable
        Takes a notice.
    """

    def __init__(
        self,
        engine: Engine,
        grid: BlockGrid,
        *,
        retries: int,
        number: int | None,
        owner: JobOwner,
        started: Callable[[JobHandle], None],
        poll: Callable[[], None],
        tell: Callable[[Notice], None],
    ) -> None:
        self._engine = engine
        self._grid = grid
        self._retries = retries
        self._number = number
        self._owner = owner
        self._started = started
        self._poll = poll
        self._tell = tell

    def __call__(self, place: Address, ledger: Path, noted: bytes) -> bytes:
        """The map of the blocks that agree, of those that are noted.

        Parameters
        ----------
        place : Address
        ledger : Path
        noted : bytes
            One byte a block: 1 if it is to be compared.

        Returns
        -------
        bytes
            One byte a block.

        Raises
        ------
        OutputRefused
            If the system refuses to read a block.
        """
        agreeing = _Agreeing(len(self._grid))
        recipe = wire.Recipe(
            sources=(),
            compare=wire.Comparison(
                wire.VolumePlace(place.format, place.file, place.internal), str(ledger), len(self._grid)
            ),
            identity=self._owner.identity,
            confinement=self._owner.confinement,
        )
        spec = JobSpec(
            recipe=recipe,
            blocks=self._grid,
            retries=self._retries,
            done=bytes(not one for one in noted),
            number=self._number,
            owner=self._owner,
            events=agreeing,
        )
        ended = self._ended(self._engine.submit(spec))
        if ended.error is not None:
            raise EngineError(ended.cause) from ended.error
        if ended.outcome != "done":
            raise refused_to_read(Path(place.file), failure_text(ended, 1))
        return bytes(agreeing.blocks)

    def _ended(self, handle: JobHandle) -> Ended:
        self._started(handle)
        ended = handle.wait(self._poll, self._tell, cancel_s=_CANCEL_S)
        self._poll()  # it may have been cancelled
        return ended


class _Agreeing:
    """Gathers the blocks that agree; called in the engine's thread."""

    def __init__(self, count: int) -> None:
        self.blocks = bytearray(count)

    def block(self, number: int, roi: Roi, ended: Persist, reply: wire.TaskDone | None) -> None:
        """Note that a block agrees."""
        if reply is not None and reply.skipped:
            self.blocks[number] = 1

    def attempt(self, attempted: Attempted) -> None:
        """Do nothing: a failed attempt is told as a notice."""
