"""``blockmill volume verify``: compares every block of a volume with its recorded checksum."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import click

from .....shared.units import format_count, format_duration, format_size
from ....formatting.exit_codes import FAILED, INTERRUPTED
from ....formatting.interrupt import Interrupt
from ....formatting.output import complain, on_terminal, say, say_json
from ....formatting.progress import display_for
from ... import options
from ...groups import VOLUMES, verb

if TYPE_CHECKING:
    from .....shared.geometry.grid import BlockGrid
    from ....verify.checks import Check, Tally

_MAX_IN_JSON = 1000


@verb(VOLUMES, short_help="Check every block of an output against its checksum.")
@click.argument("address", type=options.FILE)
@click.option("-w", "--workers", type=click.IntRange(min=1), help="Processes; default: all processors.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(address: str, workers: int | None, as_json: bool) -> int:
    """Check every block of an output against its checksum; 0 if all are there and right."""
    from ....verify.checks import NothingToCheckAgainst, check_of

    try:
        check = check_of(address)
    except NothingToCheckAgainst as error:
        complain(f"blockmill: {error}")
        return 0
    verification = _Verification(address, check, as_json)
    try:
        verification.run(workers or len(os.sched_getaffinity(0)))
    except KeyboardInterrupt:
        total = verification.total
        complain(f"interrupted after {format_count(total.blocks, 'block')}, {total.damaged} of them damaged")
        return INTERRUPTED
    finally:
        check.close()
    verification.say_summary()
    return FAILED if verification.total.missing or verification.total.damaged else 0


class _Verification:
    """One verification: its counts so far, and their display."""

    def __init__(self, address: str, check: Check, as_json: bool) -> None:
        from ....verify.checks import Tally

        self.total = Tally()
        self._address = address
        self._check = check
        self._as_json = as_json
        self._damage: list[dict[str, object]] = []
        self._display = display_for(sys.stdout, quiet=as_json or not on_terminal())
        self._started_s = time.monotonic()

    def run(self, workers: int) -> None:
        """Check all blocks."""
        from ....verify.check_processes import tallies

        with Interrupt() as interrupt:

            def poll() -> None:
                if interrupt.came():
                    raise KeyboardInterrupt

            self._display.start(len(self._check.grid), 0)
            try:
                for tally in tallies(self._address, self._check, workers, poll):
                    self._add(tally)
            finally:
                self._display.stop()

    def _add(self, tally: Tally) -> None:
        """Add the result of a batch; print damaged blocks at once, since there may be too many to keep."""
        grid = self._check.grid
        self.total.add(tally)
        for number, reason in tally.damage:
            if not self._as_json:
                self._display.note(f"block {grid.roi_of(number)}: {reason}")
            elif len(self._damage) < _MAX_IN_JSON:
                self._damage.append(_plain(grid, number, reason))
        self._display.update(self.total.blocks, self.total.bytes_checked)

    def say_summary(self) -> None:
        """Print all counts, in a line or as JSON."""
        total, seconds = self.total, time.monotonic() - self._started_s
        if self._as_json:
            facts = {
                name: getattr(total, name) for name in ("blocks", "ok", "unchecked", "missing", "damaged")
            }
            more = {"bytes_checked": total.bytes_checked, "seconds": seconds, "damage": self._damage}
            say_json(address=self._address, **facts, **more)
            return
        clauses = [f"{total.ok} of {total.blocks} blocks agree with their checksums"]
        clauses += [f"{total.unchecked} have none but can be opened"] * bool(total.unchecked)
        clauses += [f"{total.missing} missing"] * bool(total.missing)
        clauses += [f"{total.damaged} damaged"] * bool(total.damaged)
        sums = f"{format_size(total.bytes_checked)}, {format_duration(seconds)}"
        say(f"{self._address}: {', '.join(clauses)}; {sums}")
        if total.missing or total.damaged:
            say("to have them done again, run the job again (a finished single file: with --overwrite)")


def _plain(grid: BlockGrid, number: int, reason: str) -> dict[str, object]:
    block = grid.roi_of(number)
    return {"start": block.start, "stop": block.stop, "reason": reason}
