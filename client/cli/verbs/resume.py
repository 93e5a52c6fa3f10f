"""``blockmill resume``: jobs that were paused go on."""

from __future__ import annotations

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
    """Undo pause; with --all also drain."""
    from ..job_names import check_selection, select

    check_selection(jobs, label, all=everything)
    with options.client(socket) as service:
        numbers = [] if everything else select(service, jobs, "active", label=label)
        say_jobs(service.resume(*numbers), as_json)
    return 0
