"""The files that decide what a user's function computes: modules that it imports, and data beside them.

Modules are found by reading the source of import statements, also those inside of functions; nothing is
imported or run. The standard library and blockmill itself don't count. Of installed packages the
files' sizes and times count, of all others their content.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from ..errors import JobError
from ..files.fingerprints import content_hash, file_state
from .yaml_file import read_yaml

_INSTALLED = ("site-packages", "dist-packages")
_OURS = __name__.partition(".")[0]
_MOST_INSTALLED_BYTES = 1 << 18  # of source that is read to follow imports inside of installed packages
MOST_DATA_FILES = 2_000
_WHOLE_DATA_BYTES = 1 << 16
_DATA_SAMPLES = 16


@dataclass(frozen=True, slots=True)
class CodeFiles:
    """The modules and data files of a function, each with a short name for its content.

    Attributes
    ----------
    modules, data : dict of str
        By path; relative to the folder of the user's code if the file lies below it.
    own : dict of str
        Those modules that belong to no installed package, by their absolute path.
    too_many : bool
        True if the folder holds so many files that none of the data files counts.
    """

    modules: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    own: dict[str, str] = field(default_factory=dict)
    too_many: bool = False


def merged(several: Iterable[CodeFiles]) -> CodeFiles:
    """The files behind several functions."""
    found = CodeFiles()
    for one in several:
        found = CodeFiles(
            found.modules | one.modules,
            found.data | one.data,
            found.own | one.own,
            found.too_many or one.too_many,
        )
    return found


def code_files(function: str, folder: str | None, outputs: tuple[str, ...] = ()) -> CodeFiles:
    """The files behind a function.

    Parameters
    ----------
    function : str
        ``"module:name"``.
    folder : str or None
        The folder of the user's code; it comes first where modules are looked for.
    outputs : tuple of str
        Real paths of files and folders below `folder` that jobs read or write; they don't count.

    Returns
    -------
    CodeFiles
    """
    modules: dict[str, str] = {}
    own: dict[str, str] = {}
    for path, content in _modules(function.partition(":")[0], folder):
        modules[_named(path, folder)] = content
        if not _installed(path):
            own[path] = content
    data: dict[str, str] = {}
    if folder is not None:
        for path in _data_files(folder, outputs):
            if len(data) == MOST_DATA_FILES:
                return CodeFiles(modules, {}, own, too_many=True)
            data[_named(path, folder)] = content_hash(path, _DATA_SAMPLES, whole_bytes=_WHOLE_DATA_BYTES)
    return CodeFiles(modules, data, own)


def _named(path: str, folder: str | None) -> str:
    return os.path.relpath(path, folder) if folder is not None and Path(path).is_relative_to(folder) else path


def _installed(path: str) -> bool:
    return any(part in _INSTALLED for part in Path(path).parts)


# ------------------------------------------------------------------------- modules


def _modules(name: str, folder: str | None) -> Iterator[tuple[str, str]]:
    """Path and content of the files of a module and of all that it imports, each once."""
    importlib.invalidate_caches()
    search = [folder, *sys.path] if folder is not None else None
    seen: set[str] = set()
    read_bytes = 0
    names = deque([name])
    while names:
        for spec in _specs(names.popleft(), search):
            path = spec.origin
            if path is None or path in seen or not os.path.isfile(path):  # noqa: PTH113
                continue
            seen.add(path)
            installed = _installed(path)
            yield path, hashlib.sha256(file_state(path)).hexdigest()[:16] if installed else content_hash(path)
            if not path.endswith(".py") or (installed and read_bytes > _MOST_INSTALLED_BYTES):
                continue
            source = _source(path)
            read_bytes += len(source) if installed else 0
            names += _imported(source, spec)


def _source(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def _imported(source: bytes, spec: ModuleSpec) -> Iterator[str]:
    """Names of modules in the import statements of a module; of ``from a import b`` also ``a.b``."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return  # whoever imports it says what is wrong
    package = spec.name if spec.submodule_search_locations is not None else spec.name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: -(node.level - 1) or None] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _specs(name: str, search: list[str] | None) -> Iterator[ModuleSpec]:
    """The module of a dotted name and the packages around it, as far as they are found."""
    parts = name.split(".")
    if not parts[0] or parts[0] in sys.stdlib_module_names or parts[0] == _OURS:
        return
    path: list[str] | None = search
    for count in range(1, len(parts) + 1):
        spec = _spec(".".join(parts[:count]), path)
        if spec is None:
            return
        yield spec
        if spec.submodule_search_locations is None:
            return
        path = list(spec.submodule_search_locations)


def _spec(name: str, path: list[str] | None) -> ModuleSpec | None:
    try:
        if (spec := PathFinder.find_spec(name, path)) is not None:
            return spec
        for finder in sys.meta_path:  # editable installs bring their own
            if (spec := finder.find_spec(name, None if "." not in name else path)) is not None:
                return spec
    except (ImportError, ValueError, OSError, AttributeError):
        pass
    return None


# ------------------------------------------------------------------------- data files


def _data_files(folder: str, outputs: tuple[str, ...]) -> Iterator[str]:
    """Files below a folder that are neither Python's, nor hidden, nor read or written by jobs."""
    seen: set[str] = set()
    for here, folders, files in os.walk(folder, followlinks=True):
        if os.path.realpath(here) in seen:  # a link in a circle
            folders[:] = []
            continue
        seen.add(os.path.realpath(here))
        if "journal.db" in files:  # the state of a service
            folders[:] = []
            continue
        outputs_here = _outputs(folders, files)
        blocks = {f"{name.removesuffix('.json')}_blocks" for name in outputs_here if name.endswith(".json")}
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith((".", "__pycache__"))
            and name not in blocks
            and os.path.realpath(os.path.join(here, name)) not in outputs
        )
        for name in sorted(files):
            path = os.path.join(here, name)
            if name.startswith(".") or name.endswith((".py", ".pyc")) or _is_of(name, outputs_here):
                continue
            if os.path.realpath(path) not in outputs and os.path.isfile(path) and not _is_job_file(path):  # noqa: PTH113
                yield path


_OLD_ENDS = (".job", ".job.lock", ".blocks", ".partial")
"""Of the files that version 0.1 keeps beside an output."""


def _outputs(folders: list[str], files: list[str]) -> set[str]:
    """Names of outputs of jobs: what has a record beside it."""
    hidden = {name[1:-10] for name in folders if name.startswith(".") and name.endswith(".blockmill")}
    return hidden | {name.removesuffix(".job") for name in files if name.endswith(".job")}


def _is_of(name: str, outputs: set[str]) -> bool:
    """Test if a file is an output, or one of the files that version 0.1 kept beside it."""
    return name in outputs or any(
        name.removesuffix(end) in outputs for end in _OLD_ENDS if name.endswith(end)
    )


def _is_job_file(path: str) -> bool:
    """Test if a file is a job file, which may lie beside the code and be edited freely."""
    if not path.endswith((".yaml", ".yml")):
        return False
    try:
        return {"input", "output", "operation"} <= read_yaml(path).data.keys()
    except JobError:  # no YAML, or no mapping
        return False
