"""Keys and values on the command line, ``KEY=VALUE``, as they would stand in a job file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ...shared.errors import JobError, JobFileError
from ...shared.jobs.yaml_file import parse_yaml

_POSITION = re.compile(r"^:\d+:\d+:? ?")


class Assignments:
    """The mapping that some assignments stand for.

    Parameters
    ----------
    texts : iterable of str
        Such as ``sigma=1.5`` or ``output.compression=gzip``; a dot leads below a key, values are YAML.
    content : dict, optional
        Keys that are there already; none of them is replaced.

    Attributes
    ----------
    content : dict

    Raises
    ------
    JobError
        One line for each text that is no assignment, or assigns what is there already.
    """

    def __init__(self, texts: Iterable[str], content: dict[str, Any] | None = None) -> None:
        self.content: dict[str, Any] = content or {}
        mistakes = []
        for text in texts:
            try:
                self._assign(*_split(text))
            except JobError as error:
                mistakes.append(str(error))
        if mistakes:
            raise JobError("\n".join(mistakes))

    def _assign(self, key: str, value: Any) -> None:
        *above, last = key.split(".")
        mapping = self.content
        for name in above:
            mapping = mapping.setdefault(name, {})
            if not isinstance(mapping, dict):
                raise JobError(f"{key}: {name} was given a value already, so nothing can be below it")
        if last in mapping:
            raise JobError(f"{key}: is given twice; leave one out")
        mapping[last] = value


def _split(text: str) -> tuple[str, Any]:
    key, sign, written = text.partition("=")
    if not sign or not key or not all(key.split(".")):
        raise JobError(f"{text}: give a key and its value, such as sigma=1.5")
    if "\n" in written:
        raise JobError(f"{key}: a value must be on one line")
    try:
        return key, parse_yaml(f"value: {written}", "").data["value"]
    except JobFileError as error:
        raise JobError(f"{key}: {written} is no value ({_POSITION.sub('', str(error))})") from error
