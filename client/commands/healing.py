"""The verb that looks for what is wrong."""

from __future__ import annotations

from collections.abc import Iterable

from .. import exitcodes
from ..doctor.examine import examine
from ..doctor.finding import Finding
from .shell import say, say_json, use_colour, verb

_COLOURS = {"ok": "32", "warn": "33", "fail": "31"}


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


def as_lines(findings: Iterable[Finding], *, colour: bool = False) -> list[str]:
    """Findings for people, what to do next below each that is not well."""
    lines = []
    for finding in findings:
        mark = f"{finding.level:<4}"
        if colour:
            mark = f"\x1b[{_COLOURS[finding.level]}m{mark}\x1b[0m"
        first, *more = finding.text.splitlines() or [""]
        lines.append(f"{mark}  {finding.check}: {first}")
        lines += [f"      {line}" for line in more]
        if finding.advice:
            lines.append(f"      -> {finding.advice}")
    return lines
