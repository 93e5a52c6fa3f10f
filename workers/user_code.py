"""The user's own modules, job by job.

A worker serves many jobs, and two of them may have modules of the same name, or the same folder
with other content. So each job's modules are put aside when another job's code runs, and
brought back when it is its turn again.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import ClassVar


class UserCode:
    """The modules in one folder, in one state of its content.

    Parameters
    ----------
    folder : str
    code_hash : str
        Names the content; the same folder with another content gives other modules.
    """

    _known: ClassVar[dict[tuple[str, str], dict[str, ModuleType]]] = {}
    _active: ClassVar[tuple[str, str] | None] = None

    def __init__(self, folder: str, code_hash: str) -> None:
        self._key = (folder, code_hash)

    def activate(self) -> None:
        """Let imports find this folder's modules, and no other job's."""
        if UserCode._active == self._key:
            return
        if UserCode._active is not None:
            _put_aside(UserCode._active)
        UserCode._active = self._key
        # Written bytecode is matched with its source by time and size, which may be the same again.
        sys.dont_write_bytecode = True
        sys.path.insert(0, self._key[0])
        importlib.invalidate_caches()
        sys.modules.update(UserCode._known.get(self._key, {}))

    def forget(self) -> None:
        """Drop the modules: the job has ended."""
        if UserCode._active == self._key:
            _put_aside(self._key)
            UserCode._active = None
        UserCode._known.pop(self._key, None)


def _put_aside(key: tuple[str, str]) -> None:
    """Take the active folder's modules out of the interpreter's sight, and keep them."""
    folder = Path(key[0])
    ours = {
        name: module
        for name, module in sys.modules.items()
        if (file := getattr(module, "__file__", None)) and Path(file).is_relative_to(folder)
    }
    for name in ours:
        del sys.modules[name]
    UserCode._known[key] = ours
    if key[0] in sys.path:
        sys.path.remove(key[0])
