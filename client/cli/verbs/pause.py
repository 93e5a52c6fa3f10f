"""``blockmill pause``: no more blocks of some jobs, or of all."""

from __future__ import annotations

from ...formatting.output import complain
from ...formatting.tables import say_jobs
from .. import options
from ..groups import JOBS, verb


@verb(JOBS)
@options.numbers("active", required=False)
@options.everything
@options.as_json
@options.socket
def command(numbers: tuple[int, ...], everything: bool, as_json: bool, socket: str | None) -> int:
    """Start no more blocks; those that run go on."""
    options.check_selection(numbers, everything)
    with options.client(socket) as service:
        say_jobs(service.pause(*numbers), as_json)
    if everything and not as_json:
        complain("nothing is started until `blockmill resume --all`")
    return 0
