"""The operations by their names: each module of this package with one, and those that others install.

An operation stands in a job file as a mapping with one key, its name: ``{gaussian: {sigma: 2}}``;
one that needs no parameters may be a bare word: ``copy``; a list is done step by step.
An installed package adds operations by entry points of the group ``blockmill.operations``, from a name to a
subclass of `Operation`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any

from pydantic import (
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializationInfo,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import (
    CoreSchema,
    InitErrorDetails,
    PydanticCustomError,
    core_schema,
)

from ..bounds import MOST_STEPS
from ..errors import JobError
from ..outside_text import clean, error_text
from ..schema.bounded_model import errors_below, validation_error
from ..schema.complaints import complaints_of, left_out
from ..schema.fields import Keyed, nearest, shown
from .base import Operation
from .chain import chained

_GROUP = "blockmill.operations"
_NO_OPERATIONS = ("base", "chain", "dtypes", "formula", "reducer", "registry")


@cache
def _own() -> tuple[str, ...]:
    """The names of the operations that come with blockmill."""
    modules = pkgutil.iter_modules(import_module(__package__ or "").__path__)
    return tuple(sorted(module.name for module in modules if module.name not in _NO_OPERATIONS))


@cache
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=_GROUP) if point.name not in _own()}


def operation_names() -> list[str]:
    """The names of all operations."""
    return sorted({*_own(), *_installed()})


@cache
def operation_class(name: str) -> type[Operation]:
    """The operation of a name.

    Raises
    ------
    JobError
        If an installed one can't be imported, or is no operation.
    """
    if name in _own():
        return next(kind for kind in vars(import_module(f"{__package__}.{name}")).values() if _is(kind, name))
    point = _installed()[name]
    try:
        kind = point.load()
    except Exception as error:
        raise JobError(
            f"the operation {name} ({point.value}) can't be imported: {error_text(error)}"
        ) from error
    if not _is(kind, name):
        raise JobError(f"the operation {name} ({point.value}) is no subclass of Operation with that name")
    return kind


def _is(kind: object, name: str) -> bool:
    return isinstance(kind, type) and issubclass(kind, Operation) and getattr(kind, "name", None) == name


@cache
def _adapter_of(name: str) -> TypeAdapter[Any]:
    kind: Any = operation_class(name)
    return TypeAdapter(Annotated[kind, Keyed(name)])  # pyright: ignore[reportArgumentType, reportInvalidTypeForm]


def _checked_name(value: object) -> str:
    """The name of the operation in a value."""
    if callable(value):
        from .python import instead_of

        raise validation_error(instead_of(value))
    names = [value] if isinstance(value, str) else list(value) if isinstance(value, Mapping) else None
    if names is None:
        raise validation_error(
            f"must be the name of an operation, or a mapping from it to its parameters (is {shown(value)})"
        )
    if len(names) != 1:
        keys = f": {clean(', '.join(map(str, names[:8])), 200)}" if names else ""
        raise validation_error(
            f"must have exactly one key, the name of the operation (has {len(names)}{keys})"
        )
    if names[0] not in _own() and names[0] not in _installed():
        guess = nearest(names[0], operation_names())
        hint = f"did you mean {guess}? Known are" if guess else "known are"
        name = clean(str(names[0]), 60)
        raise validation_error(f"there is no operation {name}; {hint} {', '.join(operation_names())}")
    return names[0]


def _validated(value: object) -> Operation:
    if isinstance(value, Operation):
        return value
    return _chain(value) if isinstance(value, list | tuple) else _single(value)


def _chain(steps: Sequence[object]) -> Operation:
    """The operation that does several ones one after the other."""
    if not 1 <= len(steps) <= MOST_STEPS:
        raise validation_error(f"is a list of {len(steps)} operations; give 1 to {MOST_STEPS}")
    made: list[Operation] = []
    for number, step in enumerate(steps):
        if isinstance(step, list | tuple):
            raise validation_error("is a list in a list; write all steps in one")
        try:
            made.append(step if isinstance(step, Operation) else _single(step))
        except ValidationError as error:
            raise errors_below((number,), error) from None
        except PydanticCustomError as error:
            details = InitErrorDetails(type=error, loc=(number,), input=step)
            raise ValidationError.from_exception_data("Job", [details]) from None
    return made[0] if len(made) == 1 else chained(made)


def _single(value: object) -> Operation:
    name = _checked_name(value)
    try:
        adapter = _adapter_of(name)
    except JobError as error:
        raise validation_error(str(error)) from error
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise errors_below((name,), error) from None


def _plain(value: Operation, info: SerializationInfo) -> dict[str, Any] | list[dict[str, Any]]:
    return value.to_plain(defaults=not info.exclude_defaults)


class _AnyOperation:
    """Makes the field of a job that holds an operation; its JSON Schema lists all of them."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validated,
            serialization=core_schema.plain_serializer_function_ser_schema(_plain, info_arg=True),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        single = [handler(_adapter_of(name).core_schema) for name in operation_names()]
        return {"oneOf": [*single, {"type": "array", "items": {"oneOf": single}, "minItems": 1}]}


OperationField = Annotated[Operation, _AnyOperation()]


@cache
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(OperationField)


def parse_operation(value: object) -> Operation:
    """Make an operation from a value as in a job file, such as ``{"gaussian": {"sigma": 2}}``.

    Raises
    ------
    JobError
        One line per mistake.
    """
    try:
        return _adapter().validate_python(value)
    except ValidationError as error:
        complaints = complaints_of(error, _adapter().json_schema())
        lines = (str(replace(one, path=("operation", *one.path))) for one in complaints)
        raise JobError("\n".join([*lines, *left_out(error)])) from None


def build_own() -> None:
    """Build the models of blockmill's own operations, which are built at their first use otherwise."""
    for name in _own():
        _adapter_of(name)


def preloads() -> tuple[str, ...]:
    """Modules that the operations that come with blockmill import in workers, their kernels last."""
    kinds = [operation_class(name) for name in _own()]
    libraries = {module for kind in kinds for module in kind.preload}
    return (*sorted(libraries), *sorted({kind.kernel.partition(":")[0] for kind in kinds}))
