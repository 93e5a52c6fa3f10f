"""Kinds of values for the schemas of `blockmill.shared.lazyflow.jsonconfig`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..errors import JobError
from ..expressions import evaluate
from ..files.field_kinds import replacement_fields
from ..files.schema import ParsingError, SchemaError

__all__ = ["AutoEval", "FormattedField", "ParsingError", "RoiTuple", "SchemaError"]


class AutoEval:
    """A value that may be the text of an expression: ``"7*6"``, ``"[1, 2]"``, ``"numpy.uint8"``.

    Texts go through `blockmill.shared.expressions.evaluate`, which runs no code (the original
    ran any); names of dtypes give a `numpy.dtype`.

    Parameters
    ----------
    kind : callable, optional
        Converts the result. With ``str``, texts are left as they are.
    """

    def __init__(self, kind: Callable[[Any], Any] | None = None) -> None:
        self.kind = kind

    def __call__(self, value: Any) -> Any:
        if isinstance(value, str) and self.kind is not str:
            value = evaluate(value)
        return value if self.kind is None else self.kind(value)


class FormattedField:
    """A text with replacement fields, ``"{x_start}-{x_stop:04d}"``.

    Fields that are neither required nor optional are refused here; the original failed with a
    KeyError only when the text was used.

    Parameters
    ----------
    required_fields : iterable of str
        Names that the text must contain.
    optional_fields : iterable of str
        Names that it may contain.
    """

    def __init__(self, required_fields: Iterable[str], optional_fields: Iterable[str] = ()) -> None:
        self.required = tuple(required_fields)
        self.allowed = {*self.required, *optional_fields}

    def __call__(self, value: Any) -> str:
        text = str(value)
        try:
            names = {name for name, _, _ in replacement_fields(text)}
        except JobError as error:
            raise ParsingError(f"{text!r} {error}") from error
        missing = [name for name in self.required if name not in names]
        if missing:
            raise ParsingError(f"{text!r} lacks {', '.join(f'{{{name}}}' for name in missing)}")
        if names - self.allowed:
            unknown = ", ".join(f"{{{name}}}" for name in sorted(names - self.allowed))
            raise ParsingError(f"{text!r} holds {unknown}, which nobody would fill in")
        return text


class RoiTuple:
    """A roi as ``[[start...], [stop...]]``, whole numbers; becomes ``((start...), (stop...))``."""

    def __call__(self, value: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
        try:
            start, stop = (tuple(end) for end in value)
        except (TypeError, ValueError) as error:
            raise ParsingError(f"expected a roi [[start...], [stop...]], got {value!r}") from error
        if len(start) != len(stop) or any(type(number) is not int for number in start + stop):
            raise ParsingError(f"expected a roi of two lists of as many whole numbers, got {value!r}")
        return start, stop
