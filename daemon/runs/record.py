"""The record beside an output: whose it is, so that only the same job goes on with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...shared.errors import OutputRefused
from ...shared.files.atomic import write_atomically
from ...shared.geometry.roi import Shape
from ...shared.locking.filelock import FileLock

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Record:
    """What is written beside an output.

    Attributes
    ----------
    identity : dict
        All that decides the voxels of the output, as plain JSON values.
    task_block : tuple of int
        The task grid of the run that began it; a resumed run keeps to it.
    finished : bool
        Whether the job ended as done.
    """

    identity: dict[str, Any]
    task_block: Shape
    finished: bool = False


def record_path(output: Path) -> Path:
    """Where the record of an output file lies."""
    return output.with_name(output.name + ".job")


def read_record(output: Path) -> Record | None:
    """The record beside `output`; None where there is none.

    Raises
    ------
    OutputRefused
        If there is one that can't be understood.
    """
    path = record_path(output)
    try:
        plain = json.loads(path.read_text())
        if plain.pop("format") != _FORMAT:
            raise ValueError("written by another version")
        return Record(plain["identity"], tuple(plain["task_block"]), bool(plain["finished"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutputRefused(
            f"{path}: not a job record of this version ({error}); "
            f"run with --overwrite to replace the output {output}"
        ) from error


def write_record(output: Path, record: Record) -> None:
    """Write the record, whole or not at all."""
    text = json.dumps({"format": _FORMAT, **asdict(record)}, indent=1)
    write_atomically(str(record_path(output)), text.encode(), sync=True)


def differences(theirs: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """What differs between two identities, one line a key, for people."""
    there, here = dict(_flat(theirs)), dict(_flat(ours))
    keys = dict.fromkeys((*there, *here))
    return [
        f"{key}: {there.get(key, 'not set')} there, {here.get(key, 'not set')} here"
        for key in keys
        if there.get(key) != here.get(key)
    ]


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else name)
    else:
        yield key, json.dumps(value)


def plain(value: Any) -> Any:
    """`value` as JSON would give it back (tuples become lists)."""
    return json.loads(json.dumps(value))


class OutputLock:
    """One run per output: held by a lock file beside it for as long as the run lasts."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._lock = FileLock(str(record_path(output)))

    def __enter__(self) -> OutputLock:
        if not self._lock.acquire(blocking=False):
            holder = self._lock.holder()
            who = holder.describe() if holder is not None else "it has just ended"
            raise OutputRefused(
                f"another run is writing {self._output} ({who}); wait for it or end it, then run this again"
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()
