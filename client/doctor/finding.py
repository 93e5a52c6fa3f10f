"""The result of a check."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

Level = Literal["ok", "warn", "fail"]
_COLOURS = {"ok": "32", "warn": "33", "fail": "31"}


class Finding(msgspec.Struct, frozen=True):
    """The result of one check.

    Attributes
    ----------
    check : str
        Name of the check, in a word or two.
    level : {"ok", "warn", "fail"}
        "warn": it works, but not always or not well. "fail": it does not work, or data are at risk.
    text : str
        What was found.
    advice : str
        What to do next; empty if all is well.
    """

    check: str
    level: Level
    text: str
    advice: str = ""


def ok(check: str, text: str) -> Finding:
    """Make a finding of level "ok".

    Parameters
    ----------
    check, text : str
        See `Finding`.

    Returns
    -------
    Finding
    """
    return Finding(check, "ok", text)


def warn(check: str, text: str, advice: str) -> Finding:
    """Make a finding of level "warn".

    Parameters
    ----------
    check, text, advice : str
        See `Finding`.

    Returns
    -------
    Finding
    """
    return Finding(check, "warn", text, advice)


def fail(check: str, text: str, advice: str) -> Finding:
    """Make a finding of level "fail".

    Parameters
    ----------
    check, text, advice : str
        See `Finding`.

    Returns
    -------
    Finding
    """
    return Finding(check, "fail", text, advice)


def as_lines(findings: Iterable[Finding], *, colour: bool = False) -> list[str]:
    """Format findings for people, with the advice below each.

    Parameters
    ----------
    findings : iterable of Finding
    colour : bool
        Colour the levels, for a terminal.

    Returns
    -------
    list of str
    """
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
