"""Bounds of what people write, checked before pydantic looks at each entry, and perhaps complains of each."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, PydanticKnownError

from ..bounds import MOST_AXES, MOST_KEYS, excess_of

Problems = list[tuple[tuple[str | int, ...], str]]


def validation_error(text: str) -> PydanticCustomError:
    """A validation error with exactly this text, braces and all."""
    return PydanticCustomError("plain_words", "{text}", {"text": text})


def mistakes_at(problems: Problems) -> ValidationError:
    """Several mistakes at once, each at a key of its own; pydantic takes them as its own findings."""
    return ValidationError.from_exception_data(
        "Job",
        [InitErrorDetails(type=validation_error(text), loc=path, input=None) for path, text in problems],
    )


def within_bounds(value: object) -> object:
    """Refuse nested data that is too deep or too much; a validator."""
    if (excess := excess_of(value)) is not None:
        raise validation_error(excess)
    return value


def few_axes(value: object) -> object:
    """Refuse a list that has more entries than a volume can have axes; a validator."""
    if isinstance(value, list | tuple | Mapping) and len(value) > MOST_AXES:
        raise validation_error(f"has {len(value)} entries; a volume has at most {MOST_AXES} axes")
    return value


class BoundedModel(BaseModel):
    """A frozen model that takes no unknown keys, and not very many of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _few_keys(cls, data: object) -> object:
        if isinstance(data, Mapping) and len(data) > MOST_KEYS:
            raise validation_error(
                f"there are {len(data)} keys here; no such mapping has more than {MOST_KEYS}"
            )
        return data


def errors_below(path: tuple[str | int, ...], error: ValidationError) -> ValidationError:
    """The same findings, with a path before their keys.

    Parameters
    ----------
    path : tuple of str or int
    error : ValidationError

    Returns
    -------
    ValidationError
    """
    findings: list[InitErrorDetails] = []
    for one in error.errors(include_url=False):
        kind, context = one["type"], one.get("ctx", {})
        try:
            PydanticKnownError(kind, context)  # pyright: ignore[reportArgumentType]
        except KeyError:  # one of our own, or another program's
            kind, context = validation_error(one["msg"]), {}
        details = InitErrorDetails(type=kind, loc=(*path, *one["loc"]), input=one["input"], ctx=context)
        findings.append(details)
    return ValidationError.from_exception_data(error.title, findings)
