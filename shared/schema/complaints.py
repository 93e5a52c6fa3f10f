"""Pydantic's findings in plain words, each with the path of keys at which it stands."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from ..bounds import MOST_COMPLAINTS
from ..outside_text import clean
from .fields import nearest, shown

KeyPath = tuple[str | int, ...]

_COMPARED = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a number of ordinary size",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of keys and values",
    "model_type": "a mapping of keys and values",
    "model_attributes_type": "a mapping of keys and values",
}


@dataclass(frozen=True, slots=True)
class Complaint:
    """One mistake: its text, its path, and the part of the file that shows it best.

    ``at`` is "value", "key" (the key itself is wrong) or "parent" (the key is not there).
    """

    path: KeyPath
    text: str
    at: Literal["value", "key", "parent"] = "value"

    def __str__(self) -> str:
        return f"{format_key_path(self.path)}: {self.text}" if self.path else self.text


def format_key_path(path: KeyPath) -> str:
    """A path as a person would write it: ``roi[1][0]``, ``operation.gaussian.sigma``."""
    text = ""
    for key in path:
        name = clean(str(key), 60)
        text += f"[{name}]" if isinstance(key, int) else f".{name}" if text else name
    return text


def complaints_of(error: ValidationError, schema: dict[str, Any]) -> list[Complaint]:
    """The first findings of a validation, in plain words; `left_out` tells of the others.

    Parameters
    ----------
    error : pydantic.ValidationError
    schema : dict
        JSON Schema of the model, for the known keys.

    Returns
    -------
    list of Complaint
    """
    try:
        findings = error.errors(include_url=False)
    except UnicodeEncodeError as unprintable:  # pydantic takes texts of Unicode alone, also in its errors
        return [Complaint((), f"not UTF-8: {shown(str(unprintable.object))}")]
    complaints = [(finding, _complaint(finding, schema)) for finding in findings[:MOST_COMPLAINTS]]
    # Pydantic counts an entry that is wrong as absent, and then calls the list too short as well.
    return [
        one
        for finding, one in complaints
        if finding["type"] != "too_short"
        or not any(_is_below(other.path, one.path) for _, other in complaints)
    ]


def left_out(error: ValidationError) -> list[str]:
    """A line with the number of findings that `complaints_of` leaves out, if there are any."""
    count = error.error_count() - MOST_COMPLAINTS
    return [f"and {count} more mistakes"] if count > 0 else []


def _is_below(path: KeyPath, above: KeyPath) -> bool:
    return len(path) > len(above) and path[: len(above)] == above


def _complaint(finding: Any, schema: dict[str, Any]) -> Complaint:
    # Parts such as "<each>" name a branch of our own unions, not a key of the file.
    path: KeyPath = tuple(key for key in finding["loc"] if not str(key).startswith("<"))
    kind = finding["type"]
    if kind == "missing":
        return Complaint(path, "is missing", "parent")
    if path and kind in ("extra_forbidden", "invalid_key"):
        return Complaint((*path[:-1], str(path[-1])), _unknown_key(path, schema), "key")
    return Complaint(path, _words(kind, finding))


def _words(kind: str, finding: Any) -> str:
    context, value = finding.get("ctx", {}), shown(finding["input"])
    if kind == "plain_words":
        return finding["msg"]
    if kind == "value_error":
        return str(context["error"])
    if kind in _COMPARED:
        relation, key = _COMPARED[kind]
        return f"must be {relation} {_bound(context[key])} (is {value})"
    if kind in _EXPECTED:
        note = "the text " if isinstance(finding["input"], str) else ""
        return f"must be {_EXPECTED[kind]} (is {note}{value}){_decimal_comma(kind, finding['input'])}"
    if kind == "literal_error":
        return f"must be {context['expected'].replace(chr(39), '')} (is {value})"
    if kind == "too_short":
        return "must not be an empty list"
    return f"{finding['msg']} (is {value})"


def _decimal_comma(kind: str, value: object) -> str:
    if kind == "float_type" and isinstance(value, str) and re.fullmatch(r"-?\d+,\d+", value):
        return f"; a decimal comma? write {value.replace(',', '.')}"
    return ""


def _bound(bound: float) -> str:
    return str(int(bound)) if float(bound).is_integer() else str(bound)


def _unknown_key(path: KeyPath, schema: dict[str, Any]) -> str:
    known = known_keys(schema, path[:-1])
    if guess := nearest(path[-1], known):
        return f"unknown key; did you mean {guess}?"
    return f"unknown key; known are {', '.join(known)}" if known else "unknown key"


def known_keys(schema: dict[str, Any], path: KeyPath) -> list[str]:
    """The keys that a JSON Schema knows in the mapping at a path.

    Parameters
    ----------
    schema : dict
        JSON Schema.
    path : tuple of str or int
        Keys and indices from the root.

    Returns
    -------
    list of str
    """
    here = list(_branches(schema, schema))
    for key in path:
        here = [leaf for branch in here for leaf in _step(branch, key, schema)]
    return list(dict.fromkeys(key for branch in here for key in branch.get("properties", {})))


def _step(branch: dict[str, Any], key: str | int, root: dict[str, Any]) -> Iterable[dict[str, Any]]:
    below = branch.get("items") if isinstance(key, int) else branch.get("properties", {}).get(key)
    below = below or branch.get("additionalProperties")  # of a mapping whose keys are names
    return _branches(below, root) if isinstance(below, dict) else ()


def _branches(schema: dict[str, Any], root: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """The schema itself with its reference followed, or all branches if it is a choice."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    choices = schema.get("anyOf") or schema.get("oneOf")
    if not choices:
        yield schema
        return
    for choice in choices:
        yield from _branches(choice, root)
