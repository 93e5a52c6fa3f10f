"""The verb ``volume verify``: every block of a volume against what is recorded of it."""

from __future__ import annotations

import os
import sys
import time

from .....daemon.engine.handle import Progress
from .....shared.errors import BlockmillError
from .....shared.geometry.grid import BlockGrid
from ....formatting import exit_codes as exitcodes
from ....formatting.document import document
from ....formatting.interrupt import Interrupt
from ....formatting.progress import display_for
from .check_processes import tallies
from .checks import Check, NothingToCheckAgainst, Tally, check_of

_MOST_IN_JSON = 1000


def verify_volume(address: str, workers: int | None, as_json: bool) -> int:
    """Check the volume at `address`, and print what came out; the exit code of the command.

    It is 0 where all blocks are there and none is damaged.
    """
    try:
        check = check_of(address)
    except NothingToCheckAgainst as error:
        print(f"blockmill: {error}", file=sys.stderr)
        return 0
    except BlockmillError as error:
        return _told(error)
    verification = _Verification(address, check, as_json)
    try:
        verification.run(workers or len(os.sched_getaffinity(0)))
    except KeyboardInterrupt:
        total = verification.total
        print(f"interrupted after {total.blocks} blocks, {total.damaged} of them damaged", file=sys.stderr)
        return exitcodes.INTERRUPTED
    except BlockmillError as error:
        return _told(error)
    finally:
        check.close()
    verification.print_summary()
    return exitcodes.FAILED if verification.total.missing or verification.total.damaged else 0


def _told(error: BlockmillError) -> int:
    print(f"blockmill: {error}", file=sys.stderr)
    return exitcodes.exit_code_of(error)


class _Verification:
    """One verification: its counts so far, and how they are shown."""

    def __init__(self, address: str, check: Check, as_json: bool) -> None:
        self.total = Tally()
        self._address = address
        self._check = check
        self._as_json = as_json
        self._damage: list[dict[str, object]] = []
        self._display = display_for(sys.stdout, quiet=as_json or not sys.stdout.isatty())
        self._started_s = time.monotonic()

    def run(self, workers: int) -> None:
        """Check all blocks."""
        with Interrupt() as interrupt:

            def look() -> None:
                if interrupt.came():
                    raise KeyboardInterrupt

            self._display.start(len(self._check.grid), 0)
            try:
                for tally in tallies(self._address, self._check, workers, look):
                    self._take(tally)
            finally:
                self._display.stop()

    def _take(self, tally: Tally) -> None:
        """Count, and tell each damaged block at once: there may be too many to keep."""
        grid = self._check.grid
        self.total.add(tally)
        for number, reason in tally.damage:
            if not self._as_json:
                self._display.note(f"block {grid.roi_of(number)}: {reason}")
            elif len(self._damage) < _MOST_IN_JSON:
                self._damage.append(_plain(grid, number, reason))
        # What is written in a run is what is read here.
        self._display.update(Progress(blocks=self.total.blocks, bytes_written=self.total.bytes_checked))

    def print_summary(self) -> None:
        """All counts, in a line or as JSON."""
        total, seconds = self.total, time.monotonic() - self._started_s
        if self._as_json:
            facts = {
                name: getattr(total, name) for name in ("blocks", "ok", "unchecked", "missing", "damaged")
            }
            more = {"bytes_checked": total.bytes_checked, "seconds": seconds, "damage": self._damage}
            print(document(address=self._address, **facts, **more))
            return
        told = [f"{total.ok} of {total.blocks} blocks agree with their checksums"]
        told += [f"{total.unchecked} have none but can be opened"] * bool(total.unchecked)
        told += [f"{total.missing} missing"] * bool(total.missing)
        told += [f"{total.damaged} damaged"] * bool(total.damaged)
        print(f"{self._address}: {', '.join(told)}; {total.bytes_checked / 1e6:.1f} MB, {seconds:.1f} s")
        if total.missing or total.damaged:
            print("to have missing and damaged blocks done again, run the job of this volume again")


def _plain(grid: BlockGrid, number: int, reason: str) -> dict[str, object]:
    block = grid.roi_of(number)
    return {"start": block.start, "stop": block.stop, "reason": reason}
