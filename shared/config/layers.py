"""Layers of the configuration: files, then the environment, then options; each over the last.

=====================================  ======================================================
``/etc/blockmill/config.yaml``         the machine's
``/etc/blockmill/conf.d/*.yaml``       in the order of their names
the same two below ``$CONFIGURATION_DIRECTORY`` (a unit's) and ``$XDG_CONFIG_HOME/blockmill``
``BLOCKMILL__WORKERS__COUNT=3``        the environment, a key a variable
``--workers 3``                        options of the command
=====================================  ======================================================

Mappings are merged key by key, everything else replaces what was there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ConfigError, JobFileError
from ..jobs.yaml_file import YamlDocument, parse_yaml, read_yaml
from ..schema.complaints import Complaint, KeyPath, format_key_path
from .locations import config_dirs
from .model import Config, check_config

PREFIX = "BLOCKMILL__"


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings of one source, with the origin of each key (``file:line:column``)."""

    source: str
    data: dict[str, Any]
    origins: dict[KeyPath, tuple[str, str]]  # path -> origin of the key, origin of the value


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration, the origin of each of its keys, and the sources that were read."""

    config: Config
    origins: dict[KeyPath, str]
    sources: list[str]

    def origin(self, path: KeyPath) -> str:
        """The origin of a key's value (``file:line:column``), or "default"."""
        return self.origins.get(path, "default")


@dataclass(slots=True)
class _Merged:
    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, tuple[str, str]] = field(default_factory=dict)

    def add(self, layer: Layer) -> None:
        self._put(self.data, layer.data, (), layer.origins)

    def _put(
        self,
        target: dict[str, Any],
        data: Mapping[str, Any],
        at: KeyPath,
        origins: dict[KeyPath, tuple[str, str]],
    ) -> None:
        for key, value in data.items():
            path = (*at, key)
            if isinstance(target.get(key), dict) and (value is None or isinstance(value, dict)):
                self._put(target[key], value or {}, path, origins)
                continue
            self._forget(path)
            target[key] = value
            self.origins |= {p: origin for p, origin in origins.items() if p[: len(path)] == path}

    def _forget(self, path: KeyPath) -> None:
        for stale_path in [p for p in self.origins if p[: len(path)] == path]:
            del self.origins[stale_path]


def load_config(
    *,
    only: str | os.PathLike[str] | None = None,
    options: Mapping[str, tuple[str, Any]] | None = None,
    environ: Mapping[str, str] | None = None,
) -> LoadedConfig:
    """Read the configuration from files, environment and options.

    Parameters
    ----------
    only : path, optional
        Read this file instead of those in the usual folders.
    options : mapping of str to (str, value), optional
        Settings of the command line, by key such as ``workers.count``, with the option's name.
    environ : mapping, optional
        Default: the environment of the process.

    Returns
    -------
    LoadedConfig

    Raises
    ------
    ConfigError
        All mistakes, one a line, each with ``file:line:column`` and the nearest known key.
    """
    layers, mistakes = _file_layers([Path(only)] if only is not None else config_files())
    layers += _environment_layers(os.environ if environ is None else environ, mistakes)
    layers += [_option_layer(key, name, value) for key, (name, value) in (options or {}).items()]
    merged = _Merged()
    for layer in layers:
        merged.add(layer)
    checked = check_config(merged.data)
    if isinstance(checked, list):
        mistakes += [_message(complaint, merged) for complaint in checked]
    if mistakes or isinstance(checked, list):
        raise ConfigError("\n".join(mistakes))
    origins = {path: of_value for path, (_, of_value) in merged.origins.items()}
    return LoadedConfig(checked, origins, [layer.source for layer in layers])


def config_files() -> list[Path]:
    """The configuration files that are there, in the order in which they count."""
    files: dict[Path, None] = {}
    for folder in config_dirs():
        for path in (folder / "config.yaml", *sorted((folder / "conf.d").glob("*.yaml"))):
            if _is_there(path):
                files.setdefault(path.resolve())
    return list(files)


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except PermissionError:  # a hardened unit hides the homes of people, and so what lies in them
        return False


def _file_layers(paths: Iterable[Path]) -> tuple[list[Layer], list[str]]:
    layers, mistakes = [], []
    for path in paths:
        try:
            layers.append(_layer_of(read_yaml(path)))
        except JobFileError as error:
            mistakes.append(str(error))
    return layers, mistakes


def _layer_of(document: YamlDocument) -> Layer:
    def at(position: tuple[int, int]) -> str:
        return f"{document.source}:{position[0]}:{position[1]}"

    origins = {path: (at(where.key), at(where.value)) for path, where in document.positions.items() if path}
    return Layer(document.source, document.data, origins)


def _environment_layers(environ: Mapping[str, str], mistakes: list[str]) -> list[Layer]:
    layers = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name == PREFIX:
            continue
        path = tuple(key.lower() for key in name.removeprefix(PREFIX).split("__"))
        try:
            (value,) = parse_yaml("{value: " + environ[name] + "\n}", f"${name}").data.values()
        except (JobFileError, ValueError):
            mistakes.append(f"${name}: {environ[name]!r} is no value; give it as in a YAML file")
        else:
            layers.append(_single(path, value, f"${name}"))
    return layers


def _option_layer(key: str, name: str, value: Any) -> Layer:
    return _single(tuple(key.split(".")), value, name)


def _single(path: tuple[str, ...], value: Any, source: str) -> Layer:
    """A layer with one key."""
    data: Any = value
    for key in reversed(path):
        data = {key: data}
    origins: dict[KeyPath, tuple[str, str]] = {
        path[:length]: (source, source) for length in range(1, len(path) + 1)
    }
    return Layer(source, data, origins)


def _message(complaint: Complaint, merged: _Merged) -> str:
    path = complaint.path
    while path and path not in merged.origins:
        path = path[:-1]
    key, value = merged.origins.get(path, ("configuration", "configuration"))
    origin = key if complaint.at == "key" else value
    return f"{origin} {format_key_path(complaint.path)}: {complaint.text}"
