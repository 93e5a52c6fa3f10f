"""``blockmill pause``: no more blocks of some jobs, or of all."""

from __future__ import annotations

from ...formatting.output import complain
from ...formatting.tables import say_jobs
from .. import options
from ..groups import JOBS, verb


@verb(JOBS)
@options.jobs("active")
@options.everything
@options.label
@options.as_json
@options.socket
def command(
    jobs: tuple[int | str, ...], everything: bool, label: str | None, as_json: bool, socket: str | None
) -> int:
    """Start no more blocks; those that run go on."""
    from ..job_names import check_selection, select

    check_selection(jobs, label, all=everything)
    with options.client(socket) as service:
        numbers = [] if everything else select(service, jobs, "active", label=label)
        say_jobs(service.pause(*numbers), as_json)
    if everything and not as_json:
        complain("nothing is started until `blockmill resume --all`")
    return 0
