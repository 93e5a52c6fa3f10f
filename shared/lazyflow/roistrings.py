"""Rois as texts, in the form in which lazyflow's cluster tasks get theirs."""

from __future__ import annotations

import re
from typing import Any

from ..errors import JobError
from ..expressions import evaluate
from ..geometry.roi import Roi
from .roitools import RoiLike

_SUBREGION = re.compile(r"\s*SubRegion\s*:\s*SubRegion\s*\(\s*None\s*,(?P<roi>.*)\)\s*", re.DOTALL)


def format_subregion(roi: RoiLike) -> str:
    """A roi as ``SubRegion:SubRegion(None, [0, 0, 10], [10, 10, 20])``; plain ints whatever it holds."""
    start, stop = Roi.of(roi)
    return f"SubRegion:SubRegion(None, {list(start)}, {list(stop)})"


def parse_subregion(text: str) -> Roi:
    """The roi in a text as `format_subregion` writes it; its parts may be tuples.

    The original evaluates such texts as Python. Here nothing is run.

    Raises
    ------
    JobError
        If the text has another form, or no whole numbers.
    """
    match = _SUBREGION.fullmatch(text)
    if match is None:
        raise JobError(f"{text!r} is no roi; expected 'SubRegion:SubRegion(None, [start...], [stop...])'")
    return parse_roi(match["roi"])


def parse_roi(text: str) -> Roi:
    """The roi in a text such as ``[(0, 0), (10, 20)]`` or ``(0, 0), (10, 20)``, lists or tuples.

    Raises
    ------
    JobError
        If it holds anything but two lists of as many whole numbers.
    """
    try:
        value: Any = evaluate(f"[{text}]")
        start, stop = value if len(value) == 2 else value[0]
        if not all(type(n) is int for n in (*start, *stop)):
            raise TypeError("not all numbers are whole")
        return Roi(tuple(start), tuple(stop))
    except (JobError, TypeError, ValueError, LookupError) as error:
        raise JobError(f"{text!r} is no roi; expected '[start...], [stop...]': {error}") from error
