"""Schemas of JSON files: the fields that files of one kind may have, and the check of one file's fields.

Descriptions of filesets and of volumes of a web server, cluster configurations and lazyflow's
`JsonConfigParser` are read by this one engine. It is not pydantic, which reads job and daemon files:
importing pydantic takes 60 ms, and building models as much again, which every program would pay that only
opens a volume. And a `JsonConfigParser` needs an engine that takes any callable as the type of a field.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import JobError
from .json_file import JsonObject, ParsingError, Problem, without_pairs

SCHEMA_KEYS = ("_schema_name", "_schema_version")

Converter = Callable[[Any], Any]  # converts the value of a field, or raises an error that tells why not


class SchemaError(ParsingError):
    """A configuration file is of another schema, or of a version that is not understood."""


class Schema:
    """The fields of files of one kind.

    Parameters
    ----------
    name : str
        The value of ``_schema_name``.
    version : callable
        Converts the value of ``_schema_version``; see `version_kind`.
    kinds : mapping
        Field to the converter of its value, in the order in which mistakes are reported. Blanks in
        fields become underscores, as in the files.
    absent : mapping
        Required field to the message for one that is absent or null.
    """

    def __init__(
        self,
        name: str,
        version: Converter,
        kinds: Mapping[str, Converter],
        absent: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self.kinds = {field.replace(" ", "_"): kind for field, kind in kinds.items()}
        self.absent = absent or {}

    def known_fields(self, document: JsonObject) -> tuple[dict[str, Any], list[Problem]]:
        """The known fields in the order of the file, and the problem of each that stands twice.

        Blanks in keys become underscores. Unknown keys are skipped, also repeated ones: people use
        them as comments.

        Raises
        ------
        SchemaError
            If the file is of another schema; nothing else is reported then.
        """
        raw: dict[str, Any] = {}
        problems: list[Problem] = []
        for key, value in document:
            field = key.replace(" ", "_")
            if field in raw:
                problems.append((field, "stands twice; keep one of them"))
            if field in self.kinds or field in SCHEMA_KEYS:
                raw[field] = value
        if (name := raw.get("_schema_name")) != self.name:
            raise report([*problems, ("_schema_name", f"is {name!r}, expected {self.name!r}")])
        return raw, problems

    def convert(self, raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
        """The values of all fields that are neither absent nor null, and the problems of those fields."""
        values: dict[str, Any] = {}
        problems: list[Problem] = []
        for field, kind in (*self.kinds.items(), ("_schema_version", self.version)):
            value = raw.get(field)
            if value is None and kind is not self.version:
                if field in self.absent:
                    problems.append((field, self.absent[field]))
                continue
            try:
                # Only what reads an object of JSON inside another looks for keys that stand twice.
                values[field] = kind(value if hasattr(kind, "reads_pairs") else without_pairs(value))
            except (JobError, TypeError, ValueError, ArithmeticError, LookupError) as error:
                problems.extend((field, line) for line in str(error).split("\n"))
        return values, problems

    def read(self, document: JsonObject) -> dict[str, Any]:
        """The values of the known fields that a document has, in its order; None for those that are null.

        Raises
        ------
        ParsingError
            With all mistakes in the order of the file; a `SchemaError` if name or version are among them.
        """
        raw, problems = self.known_fields(document)
        values, invalid = self.convert(raw)
        if problems or invalid:
            order = {field: index for index, field in enumerate(dict.fromkeys((*raw, *self.kinds)))}
            raise report([*problems, *sorted(invalid, key=lambda problem: order.get(problem[0], -1))])
        values["_schema_name"] = self.name
        return {field: values.get(field) for field in raw}


def version_kind(is_understood: Callable[[float], bool], versions_text: str) -> Converter:
    """The converter of a schema's version.

    Parameters
    ----------
    is_understood : callable
        Takes a version, and returns True if it is understood.
    versions_text : str
        The understood versions in words, for the error.

    Returns
    -------
    callable
    """

    def convert(value: object) -> float:
        try:
            version = math.nan if value is None or isinstance(value, bool) else float(value)  # pyright: ignore[reportArgumentType]
        except (TypeError, ValueError, OverflowError):
            version = math.nan
        if not is_understood(version):
            raise JobError(f"is {shown(value)}{versions_text}")
        return version

    return convert


def shown(value: object) -> str:
    """A value as it stands in a message, not too long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def report(problems: Iterable[Problem], where: str = "") -> ParsingError:
    """One error that lists every problem with its file (if named) and field.

    Parameters
    ----------
    problems : iterable of Problem
    where : str
        The file's name, or empty.

    Returns
    -------
    ParsingError
    """
    problems = tuple(problems)
    kind = SchemaError if any(field in SCHEMA_KEYS for field, _ in problems) else ParsingError
    error = kind("\n".join(f"{where and f'{where}: '}{field}: {problem}" for field, problem in problems))
    error.problems = problems
    return error
