"""``blockmill config``: shows the configuration in effect, checks files, prints schemas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from ....shared.errors import ConfigError
from ...formatting.output import say, say_json
from .. import options
from ..groups import SERVICE, group

if TYPE_CHECKING:
    from ....shared.config.layers import LoadedConfig
    from ....shared.schema.complaints import KeyPath

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_file = click.argument("file", required=False, type=options.FILE)


@group(SERVICE, short_help="Show and check the configuration of the service.")
def command() -> None:
    """The configuration of the service: what counts, what is wrong, what there is."""


@command.command("show")
@_file
@click.option("--origin", is_flag=True, help="Where each key was set.")
@options.as_json
def show(file: str | None, origin: bool, as_json: bool) -> int:
    """Show the configuration as a service started now would take it, or that of one file."""
    from ....shared.config.layers import load_config
    from ....shared.schema.complaints import format_key_path

    loaded = load_config(only=file)
    data = loaded.config.model_dump(mode="json")
    if as_json:
        origins = {format_key_path(path): loaded.origin(path) for path, _ in _leaves(data)} if origin else {}
        say_json(config=data, sources=loaded.sources, **({"origins": origins} if origin else {}))
        return 0
    for line in _yaml(data, loaded, origin):
        say(line)
    return 0


def _leaves(data: Mapping[str, Any], at: KeyPath = ()) -> Iterable[tuple[KeyPath, Any]]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*at, key))
        else:
            yield (*at, key), value


def _yaml(data: Mapping[str, Any], loaded: LoadedConfig, origin: bool, at: KeyPath = ()) -> Iterable[str]:
    import json

    indent = "  " * len(at)
    for key, value in data.items():
        path = (*at, key)
        if isinstance(value, Mapping):
            yield f"{indent}{key}:"
            yield from _yaml(value, loaded, origin, path)
        else:  # JSON is YAML
            line = f"{indent}{key}: {json.dumps(value, ensure_ascii=False)}"
            yield f"{line:<40}  # {loaded.origin(path)}" if origin else line


@command.command("check")
@_file
@options.as_json
def check(file: str | None, as_json: bool) -> int:
    """Check all configuration files, or one; exit code 5 where something is wrong."""
    from ....shared.config.layers import load_config

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


@command.command("schema")
@click.option("--job", is_flag=True, help="Of job files.")
def schema(job: bool) -> int:
    """Print the JSON Schema of configuration files, for editors."""
    import json

    if job:
        from ....shared.jobs.job_file import job_file_schema

        keys = job_file_schema()
    else:
        from ....shared.config.model import config_schema

        keys = config_schema()
    say(json.dumps({"$schema": _DIALECT, **keys}, indent=2))
    return 0
