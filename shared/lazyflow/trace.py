"""Log lines at the begin and end of calls and blocks, at next to no cost while the log is off."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def _logger(logger: logging.Logger | str) -> logging.Logger:
    return logging.getLogger(logger) if isinstance(logger, str) else logger


class Tracer:
    """Logs ``(enter) CALLER MSG`` and ``(exit) CALLER`` around a ``with`` block.

    The level is checked each time, so a logger may be switched while the program runs.
    By custom, the loggers are named ``TRACE.<module>``. An exception passes through. Unlike
    the original, a tracer that is used again names its new caller, and there is no blank at
    the end of a line without a message.

    Parameters
    ----------
    logger : Logger or str
        The logger, or its name.
    level : int
        Level of both lines.
    msg : str
        Added to the first line.
    determine_caller : bool
        Look up the function around the block when the level is enabled.
    caller_name : str
        Written instead of the function that would be looked up.
    """

    __slots__ = ("_caller", "_determine", "_level", "_logger", "_msg", "_name")

    def __init__(
        self,
        logger: logging.Logger | str,
        level: int = logging.DEBUG,
        msg: str = "",
        determine_caller: bool = True,
        caller_name: str = "",
    ) -> None:
        self._logger = _logger(logger)
        self._level, self._msg = level, msg
        self._determine, self._name = determine_caller, caller_name
        self._caller = caller_name

    def __enter__(self) -> None:
        if self._logger.isEnabledFor(self._level):
            self._caller = self._name or (sys._getframe(1).f_code.co_name if self._determine else "")
            self._logger.log(self._level, "%s", f"(enter) {self._caller} {self._msg}".rstrip())

    def __exit__(self, *_: object) -> None:
        if self._logger.isEnabledFor(self._level):
            self._logger.log(self._level, "%s", f"(exit) {self._caller}".rstrip())


def trace_logged(
    logger: logging.Logger | str, level: int = logging.DEBUG, msg: str = "", caller_name: str = ""
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a decorator that traces each call of a function, as `Tracer` does.

    Parameters
    ----------
    logger : Logger or str
        The logger, or its name.
    level : int
        Level of both lines.
    msg : str
        Added to the first line.
    caller_name : str
        Written instead of the function's own name.

    Returns
    -------
    callable
        Takes a function and returns the traced one, with the same metadata.
    """
    target = _logger(logger)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        name = caller_name or getattr(function, "__name__", repr(function))

        @functools.wraps(function)
        def traced(*args: P.args, **kwargs: P.kwargs) -> R:
            if not target.isEnabledFor(level):
                return function(*args, **kwargs)
            with Tracer(target, level, msg, False, name):
                return function(*args, **kwargs)

        return traced

    return decorate
