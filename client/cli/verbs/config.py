"""The verbs that show and check the configuration."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ....shared.config.layers import Loaded, load_config
from ....shared.errors import ConfigError
from ....shared.jobs.complaints import KeyPath, written
from ...formatting.output import say, say_json, verb

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


@verb
def show(file: str | None, *, origin: bool, as_json: bool) -> int:
    """The configuration that counts, as YAML that could stand in a file."""
    loaded = load_config(only=file)
    data = loaded.config.model_dump(mode="json")
    if as_json:
        origins = {written(path): loaded.origin(path) for path, _ in _leaves(data)} if origin else {}
        say_json(config=data, sources=loaded.sources, **({"origins": origins} if origin else {}))
        return 0
    for line in _yaml(data, loaded, origin):
        say(line)
    return 0


@verb
def check(file: str | None, *, as_json: bool) -> int:
    """Whether the configuration is right; all that is wrong with it goes to stderr."""
    try:
        loaded = load_config(only=file)
    except ConfigError as error:
        if as_json:
            say_json(ok=False, mistakes=str(error).splitlines())
        raise
    if as_json:
        say_json(ok=True, sources=loaded.sources)
    else:
        say("\n".join(loaded.sources) if loaded.sources else "no configuration: everything is as by default")
        say("the configuration is right")
    return 0


@verb
def schema(job: bool) -> int:
    """The JSON Schema of configuration or job files."""
    if job:
        from ....shared.jobs.job import job_schema as schema_of
    else:
        from ....shared.config.model import config_schema as schema_of
    say(json.dumps({"$schema": _DIALECT, **schema_of()}, indent=2))
    return 0


def _leaves(data: Mapping[str, Any], at: KeyPath = ()) -> Iterable[tuple[KeyPath, Any]]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*at, key))
        else:
            yield (*at, key), value


def _yaml(data: Mapping[str, Any], loaded: Loaded, origin: bool, at: KeyPath = ()) -> Iterable[str]:
    indent = "  " * len(at)
    for key, value in data.items():
        path = (*at, key)
        if isinstance(value, Mapping):
            yield f"{indent}{key}:"
            yield from _yaml(value, loaded, origin, path)
        else:  # JSON is YAML
            line = f"{indent}{key}: {json.dumps(value, ensure_ascii=False)}"
            yield f"{line:<40}  # {loaded.origin(path)}" if origin else line
