"""Descriptions: JSON files of a schema as frozen dataclasses, which check themselves when they are made."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, Self, get_args

import numpy as np

from .json_file import JsonObject, dtype_text, read_json, write_json
from .schema import SCHEMA_KEYS, Converter, ParsingError, Problem, Schema, report, version_kind


@dataclass(frozen=True, kw_only=True)
class Description:
    """The base of descriptions: each field's annotation, ``Annotated[type, kind]``, names its converter.

    Fields that a file leaves out follow in the order of the class, as do mistakes. A field
    without default must be there.

    Parameters
    ----------
    schema_version : float
        The version that is written.
    key_order : tuple of str
        The order in which the keys stood in the file that this was read from.

    Raises
    ------
    ParsingError
        A `JobError` that names every field that is wrong, and why.
    """

    schema_name: ClassVar[str]
    versions: ClassVar[tuple[float, ...]] = (1.0,)
    label: ClassVar[str] = ""
    """Name in messages of a description that comes from no file."""
    absent: ClassVar[Mapping[str, str]] = {}
    """Messages about required fields that a file lacks, if they are not "is missing"."""
    only_if_set: ClassVar[frozenset[str]] = frozenset()
    """Keys that are left out of a file where they are unset; the others stand there as null."""

    schema_version: float = 1.0
    key_order: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @classmethod
    @cache
    def schema(cls) -> Schema:
        """The schema of the files, from the annotations of the fields."""
        hints = inspect.get_annotations(cls, eval_str=True)  # a fifth of the time of `get_type_hints`
        own = [item.name for item in fields(cls) if item.name not in Description.__dataclass_fields__]
        versions_text = (
            f"; only {cls.versions[0]} is understood"
            if len(cls.versions) == 1
            else f", but only versions {' and '.join(map(str, cls.versions))} are understood"
        )
        needed = {name: "is missing" for name in own if not hasattr(cls, name)}
        return Schema(
            cls.schema_name,
            version_kind(cls.versions.__contains__, versions_text),
            {name: _kind(hints[name]) for name in own},
            {**needed, **cls.absent},
        )

    def __post_init__(self) -> None:
        values, problems = self.schema().convert(self._values())
        for key in self._values():  # null stands for the default
            name = key.removeprefix("_")
            object.__setattr__(self, name, values.get(key, getattr(type(self), name, None)))
        if not problems:
            self._complete()
        if problems := problems or [*self._mistakes()]:
            raise report(problems, self.label)

    def _complete(self) -> None:
        """Fill in what follows from other fields."""

    def _mistakes(self) -> Iterable[Problem]:
        """Mistakes in fields that are fine one by one."""
        return ()

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read and check a file; see `parse`.

        Raises
        ------
        JobError
            Naming the file and each field that is wrong; also if the file is missing or no JSON.
        """
        where = os.fspath(path)
        document = read_json(where)
        try:
            return cls.parse(document)
        except ParsingError as error:
            raise report(error.problems, where) from error

    @classmethod
    def parse(cls, document: JsonObject) -> Self:
        """The description in a JSON object; unknown keys in it are skipped.

        Raises
        ------
        ParsingError
            Naming each field that is wrong.
        """
        raw, problems = cls.schema().known_fields(document)
        values: dict[str, Any] = {key: raw.get(key) for key in cls.schema().kinds}
        values |= {"schema_version": raw.get("_schema_version"), "key_order": tuple(raw)}
        try:
            description = cls(**values)
        except ParsingError as error:
            raise report([*problems, *error.problems]) from error
        if problems:
            raise report(problems)
        return description

    def plain(self) -> dict[str, Any]:
        """Plain values for JSON, in the order of the file that this came from, None for what is unset."""
        values = {"_schema_name": self.schema_name, **self._values()}
        order = dict.fromkeys((*self.key_order, *SCHEMA_KEYS, *values))
        unset = {key for key in self.only_if_set if not values[key] and key not in self.key_order}
        return {key: _plain(values[key]) for key in order if key in values and key not in unset}

    def _values(self) -> dict[str, Any]:
        """The values of the fields by their keys in a file."""
        values = {key: getattr(self, key) for key in self.schema().kinds}
        return {**values, "_schema_version": self.schema_version}

    def write(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write a file in one step.

        Parameters
        ----------
        path : str or os.PathLike
        overwrite : bool
            Replace an existing file.

        Raises
        ------
        FileExistsError
            If `overwrite` is off and the file exists.
        """
        write_json(path, self.plain(), overwrite=overwrite)


def _kind(hint: Any) -> Converter:
    """The converter of a field by its annotation; ``Annotated[type, kind] | None`` is such a hint, too."""
    return next(
        branch.__metadata__[0] for branch in (hint, *get_args(hint)) if hasattr(branch, "__metadata__")
    )


def _plain(value: Any) -> Any:
    if isinstance(value, np.dtype):
        return dtype_text(value)
    return value.plain() if isinstance(value, Description) else value
