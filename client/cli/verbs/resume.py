"""``blockmill resume``: jobs that were paused go on."""

from __future__ import annotations

from ...formatting.tables import say_jobs
from .. import options
from ..groups import JOBS, verb


@verb(JOBS)
@options.numbers("active", required=False)
@options.everything
@options.as_json
@options.socket
def command(numbers: tuple[int, ...], everything: bool, as_json: bool, socket: str | None) -> int:
    """Undo pause; with --all also drain."""
    options.check_selection(numbers, everything)
    with options.client(socket) as service:
        say_jobs(service.resume(*numbers), as_json)
    return 0
