"""The user's own modules, job by job.

A worker serves many jobs, and two of them may have modules of the same name, or the same folder
with other content. So the modules of a job are taken out of `sys.modules` when another job's code
runs, and brought back when the job has its turn again.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import ClassVar


class UserCode:
    """The modules in one folder, with one content of that folder.

    Parameters
    ----------
    folder : str
    code_hash : str
        Names the content; the same folder with another content has other modules.
    """

    _modules: ClassVar[dict[tuple[str, str], dict[str, ModuleType]]] = {}
    _active: ClassVar[tuple[str, str] | None] = None

    def __init__(self, folder: str, code_hash: str) -> None:
        self._key = (folder, code_hash)

    def activate(self) -> None:
        """Let imports find this folder's modules, and no other job's."""
        if UserCode._active == self._key:
            return
        if UserCode._active is not None:
            _unload(UserCode._active)
        UserCode._active = self._key
        # Written bytecode is matched with its source by time and size, which may be the same again.
        sys.dont_write_bytecode = True
        sys.path.insert(0, self._key[0])
        importlib.invalidate_caches()
        sys.modules.update(UserCode._modules.get(self._key, {}))

    def forget(self) -> None:
        """Drop the modules: the job has ended."""
        if UserCode._active == self._key:
            _unload(self._key)
            UserCode._active = None
        UserCode._modules.pop(self._key, None)


def _unload(key: tuple[str, str]) -> None:
    """Take the active folder's modules out of `sys.modules` and its path, and keep them."""
    folder = Path(key[0])
    modules = {
        name: module
        for name, module in sys.modules.items()
        if (file := getattr(module, "__file__", None)) and Path(file).is_relative_to(folder)
    }
    for name in modules:
        del sys.modules[name]
    UserCode._modules[key] = modules
    if key[0] in sys.path:
        sys.path.remove(key[0])
