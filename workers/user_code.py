"""The user's own modules, job by job.

A worker serves many jobs, and two of them may have modules of the same name, or the same modules
with other content. So the modules of a job are taken out of `sys.modules` when another job's code
runs, and brought back when the job has its turn again.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import ClassVar

from ..shared.errors import JobError
from ..shared.files.fingerprints import content_hash

_Key = tuple[str | None, frozenset[tuple[str, str]]]


class UserCode:
    """The modules of a job: those in its folder and those that these import from elsewhere.

    Parameters
    ----------
    folder : str or None
        Comes first where modules are looked for.
    files : mapping
        Path and hash of each module of the user's own; the same path with another hash is another module.
    """

    _modules: ClassVar[dict[_Key, dict[str, ModuleType]]] = {}
    _active: ClassVar[UserCode | None] = None

    def __init__(self, folder: str | None, files: Mapping[str, str]) -> None:
        self._folder = folder
        self._files = files
        self._key: _Key = (folder, frozenset(files.items()))

    def activate(self) -> None:
        """Let imports find this job's modules, and no other job's."""
        active = UserCode._active
        if active is not None and active._key == self._key:
            return
        if active is not None:
            active._unload()
        UserCode._active = self
        # Written bytecode is matched with its source by time and size, which may be the same again.
        sys.dont_write_bytecode = True
        if self._folder is not None:
            sys.path.insert(0, self._folder)
        importlib.invalidate_caches()
        sys.modules.update(UserCode._modules.get(self._key, {}))

    def check(self) -> None:
        """Check that the modules are still those that the job began with; call it before they are imported.

        Raises
        ------
        JobError
            If one has changed: blocks of one output must not come from two versions.
        """
        for path, content in self._files.items():
            if content_hash(path) != content:
                raise JobError(
                    f"{path} has changed since this job began, and a worker that started since would "
                    "run the new version; end the job, and run it anew with --overwrite"
                )

    def forget(self) -> None:
        """Drop the modules: the job has ended."""
        active = UserCode._active
        if active is not None and active._key == self._key:
            self._unload()
            UserCode._active = None
        UserCode._modules.pop(self._key, None)

    def _unload(self) -> None:
        """Take the modules out of `sys.modules` and the folder out of the path, and keep them."""
        modules = {name: module for name, module in sys.modules.items() if self._owns(module)}
        for name in modules:
            del sys.modules[name]
        UserCode._modules[self._key] = modules
        if self._folder in sys.path:
            sys.path.remove(self._folder)

    def _owns(self, module: ModuleType) -> bool:
        file = getattr(module, "__file__", None)
        if not file:
            return False
        return file in self._files or (self._folder is not None and Path(file).is_relative_to(self._folder))
