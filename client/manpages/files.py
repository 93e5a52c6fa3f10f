"""Pages of section 5: the keys of job and configuration files, from their JSON Schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ... import __version__
from ...shared.config.model import config_schema
from ...shared.jobs.job import job_schema
from ...shared.jobs.staged import StagedJob
from .roff import Page

Schema = Mapping[str, Any]

_REF = "#/$defs/"
_CHOICES = ("anyOf", "oneOf")
_WORDS = {"integer": "whole number", "string": "text", "boolean": "true or false", "object": "mapping"}
_HUGE = 1 << 62  # larger bounds are those of machine integers and are left out
_BOUNDS = (("minimum", "at least"), ("maximum", "at most"), ("exclusiveMinimum", "above"))


def config_page() -> Page:
    """The page about the configuration of the service."""
    page = Page("blockmill-config", 5, "configuration of the blockmill service", __version__)
    page.heading("DESCRIPTION")
    page.text(
        "YAML files, each of which goes over the ones before it, key by key: /etc/blockmill/config.yaml, "
        "/etc/blockmill/conf.d/*.yaml, the same two in $CONFIGURATION_DIRECTORY and in "
        "$XDG_CONFIG_HOME/blockmill (~/.config/blockmill); then variables such as "
        "BLOCKMILL__WORKERS__COUNT=3, then the options of blockmill serve. Sizes are whole numbers of "
        "bytes, or texts such as 24GiB or 24G (the same; 24GB is decimal)."
    )
    page.text("blockmill config show --origin tells what counts, blockmill config check what is wrong.")
    _keys(page, config_schema())
    page.heading("SEE ALSO")
    page.text("blockmill-config-show(1), blockmill-config-check(1), blockmill(8)")
    return page


def job_page() -> Page:
    """The page about job files."""
    page = Page("blockmill-job", 5, "job files of blockmill", __version__)
    page.heading("DESCRIPTION")
    page.text("A YAML file with one job. Paths in it are taken from its own folder.")
    page.text("\b{input: cells.json, output: smooth.json, operation: {gaussian: {sigma: 1.5}}}")
    _keys(page, job_schema())
    page.heading("STAGES")
    page.text(
        "Instead of input, output and operation a file may have stages, done one after the other. The "
        "input of a stage is the name of another stage, a name below inputs, or an address. A stage "
        "without an output makes a temporary volume. What a later stage needs no more is not made again."
    )
    page.text(
        "\b{inputs: {raw: scan.h5/data}, stages: {smooth: {input: raw, operation: {gaussian: {sigma: 2}}}, "
        "mask: {input: smooth, operation: {threshold: {above: 90}}, output: mask.json}}}"
    )
    stages = StagedJob.schema_of_files()
    defs = stages["$defs"]
    for name in ("inputs", "stages"):
        page.item(name, _attributes(stages["description"])[name], note="(mapping)")
    for path, key, note in _walk({**defs["Stage"], "properties": _own_keys(defs["Stage"])}, defs, ""):
        page.item(f"stages.NAME.{path}", note.replace("``", ""), note=f"({_described(key)})")
    page.heading("SEE ALSO")
    page.text("blockmill-run(1), blockmill-submit(1)")
    return page


def _own_keys(stage: Schema) -> Schema:
    """The keys of a stage that a job without stages has not, or has otherwise."""
    return {key: value for key, value in stage["properties"].items() if key in ("input", "output")}


def _keys(page: Page, schema: Schema) -> None:
    page.heading("KEYS")
    for path, key, note in _walk(schema, schema.get("$defs", {}), ""):
        page.item(path, note.replace("``", ""), note=f"({_described(key)})")


def _walk(node: Schema, defs: Schema, at: str) -> Iterator[tuple[str, Schema, str]]:
    """Each key below a mapping: its path, its schema, its description."""
    notes = _attributes(node.get("description", ""))
    for name, key in node.get("properties", {}).items():
        path = f"{at}{name}"
        below = list(_mappings(key, defs))
        note = key.get("description") or notes.get(name) or " ".join(_summary(m) for m in below)
        yield path, key, note
        for mapping in below:
            yield from _walk(mapping, defs, f"{path}.")


def _mappings(key: Schema, defs: Schema) -> Iterator[Schema]:
    """The mappings with keys of their own that are allowed as the value of a key."""
    if "$ref" in key:
        yield defs[key["$ref"].removeprefix(_REF)]
    elif "properties" in key:
        yield key
    for choice in _CHOICES:
        for other in key.get(choice, ()):
            yield from _mappings(other, defs)


def _summary(mapping: Schema) -> str:
    """The part of a docstring before its first numpydoc section."""
    return re.split(r"\n\n\w+\n-{3,}\n", mapping.get("description", ""))[0]


def _attributes(description: str) -> dict[str, str]:
    """The entries of the section "Attributes" of a docstring in numpydoc form, by name."""
    entries: dict[str, str] = {}
    names: list[str] = []
    _, _, section = description.partition("\n----------\n")
    for line in section.splitlines():
        if line and not line.startswith(" "):
            names = line.partition(" : ")[0].split(", ")
        else:
            entries.update({name: f"{entries.get(name, '')} {line.strip()}".strip() for name in names})
    return entries


def _described(key: Schema) -> str:
    """Type, bounds and default in words."""
    types = " or ".join(dict.fromkeys(_types(key)))
    default = key.get("default")
    return types if default in (None, [], {}) else f"{types}; default: {json.dumps(default)}"


def _types(key: Schema) -> Iterator[str]:
    if "$ref" in key or "properties" in key:
        yield "mapping"
    elif "const" in key:
        yield json.dumps(key["const"])
    elif "enum" in key:
        yield from (json.dumps(value) for value in key["enum"] if value is not None)
    elif "type" in key:
        yield from _plain_types(key)
    for choice in _CHOICES:
        for other in key.get(choice, ()):
            yield from _types(other)


def _plain_types(key: Schema) -> Iterator[str]:
    types = key["type"] if isinstance(key["type"], list) else [key["type"]]
    bounds = [f" {word} {key[name]:g}" for name, word in _BOUNDS if abs(key.get(name, _HUGE)) < _HUGE]
    for kind in types:
        if kind == "array":
            yield f"list of {' or '.join(dict.fromkeys(_types(key.get('items', {}))))}"
        elif kind != "null":
            yield f"{_WORDS.get(kind, kind)}{','.join(bounds)}"
