"""The verbs that look for what is wrong, and pack up what others need to find it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from ...doctor.examine import examine
from ...doctor.finding import as_lines
from ...doctor.report import gather, write
from ...formatting import exit_codes as exitcodes
from ...formatting.output import complain, say, say_json, size, use_colour, verb


@verb
def doctor(paths: Iterable[str], *, socket: str | None, as_json: bool) -> int:
    """Say how everything is; 1 where something fails."""
    findings = examine(paths, socket)
    failed = any(finding.level == "fail" for finding in findings)
    if as_json:
        say_json(ok=not failed, findings=findings)
    else:
        say("\n".join(as_lines(findings, colour=use_colour())))
    return exitcodes.FAILED if failed else 0


@verb
def bug_report(output: str | None, *, socket: str | None) -> int:
    """Write the tarball; its path and what it holds go to stdout."""
    path = Path(output or time.strftime("blockmill-report-%Y%m%d-%H%M%S.tar.gz"))
    files = gather(socket)
    write(files, path)
    say(str(path))
    for name, content in files.items():
        say(f"  {name}  {size(len(content))}")
    complain(
        "keys, tokens and passwords are taken out as far as they can be told; look into it before you send it"
    )
    return 0
