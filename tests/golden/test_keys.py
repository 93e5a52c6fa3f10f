"""Keys of job files and of the configuration, with kinds and defaults; environment variables."""

import json
import re

import pytest


def kinds_of(schema, root):
    """The kinds of value that a schema takes, with the keys of each mapping among them."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    if "anyOf" in schema or "oneOf" in schema:
        for part in schema.get("anyOf", schema.get("oneOf")):
            yield from kinds_of(part, root)
    elif "enum" in schema or "const" in schema:
        for value in schema.get("enum", [schema.get("const")]):
            yield json.dumps(value), {}
    elif schema.get("type") == "array":
        inner = "|".join(sorted({kind for kind, _ in kinds_of(schema.get("items", {}), root)}))
        yield f"list of {inner}", {}
    elif schema.get("type") == "object":
        required = schema.get("required", [])
        yield "mapping", {key: (part, key in required) for key, part in schema.get("properties", {}).items()}
    else:
        types = schema.get("type", "any")
        for kind in [types] if isinstance(types, str) else types:
            yield kind, {}


def lines_of(schema, root, at=""):
    """A line a key: path, kinds, default."""
    for _, keys in kinds_of(schema, root):
        for key, (part, required) in sorted(keys.items()):
            path = f"{at}{key}"
            kinds = sorted({kind for kind, _ in kinds_of(part, root)})
            if required:
                tail = "required"
            elif "default" in part and "mapping" not in kinds:
                tail = f"default {json.dumps(part['default'])}"
            else:
                tail = "optional"
            yield f"{path}: {' | '.join(kinds)}; {tail}"
            yield from lines_of(part, root, f"{path}.")


def schema_of(commands, *options):
    return json.loads(commands.run("config", "schema", *options, folder=commands.base).out)


@pytest.mark.parametrize(("name", "options"), [("job-keys.txt", ["--job"]), ("configuration-keys.txt", [])])
def test_keys_with_kinds_and_defaults(golden, commands, name, options):
    schema = schema_of(commands, *options)
    golden(name, "\n".join(lines_of(schema, schema)) + "\n")


def leaves(data, at=()):
    for key, value in data.items():
        if isinstance(value, dict):
            yield from leaves(value, (*at, key))
        else:
            yield (*at, key)


VALUES = {
    "history_days": "2.5",
    "workers.recycle.age_s": "2.5",
    "access.admins": "[ann]",
    "access.data_roots": "[/data]",
    "access.user_code": "[/steps]",
    "access.group": "users",
    "socket": "/run/s",
    "state_dir": "/state",
    "tcp.listen": "127.0.0.1:5640",
    "tcp.keys": "/keys",
    "workers.memory": "24GiB",
    "workers.memory_per_worker": "2GiB",
    "workers.recycle.growth": "1GiB",
    "limits.message": "2MiB",
}


def test_variables_that_set_keys_of_the_configuration(golden, commands):
    shown = commands.run("config", "show", "--json", folder=commands.base).documents[0]["config"]
    lines = []
    for path in sorted(".".join(leaf) for leaf in leaves(shown)):
        variable = "BLOCKMILL__" + path.upper().replace(".", "__")
        value = VALUES.get(path, "3")
        ended = commands.run(
            "config", "show", "--json", "--origin", folder=commands.base, environ={variable: value}
        )
        assert ended.code == 0, ended.err
        found = ended.documents[0]
        origins = {key: origin for key, origin in found["origins"].items() if origin != "default"}
        for key in origins:
            at = found["config"]
            for part in key.split("."):
                at = at[part]
            lines.append(f"{variable}={value} -> {key}: {json.dumps(at)} (from {origins[key]})")
    golden("configuration-variables.txt", "\n".join(lines) + "\n")


def test_variables_and_exit_codes_that_the_manual_names(golden, commands, fresh):
    folder = fresh()
    assert commands.run("man", "-o", "man", folder=folder).code == 0
    lines = []
    for page in ("man1/blockmill.1", "man8/blockmill.8"):
        text = (folder / "man" / page).read_text()
        for section in ("ENVIRONMENT", "EXIT STATUS"):
            part = text.partition(f'.SH "{section}"\n')[2].partition("\n.SH")[0]
            lines += [f"{page} {section}", *(f"    {name}" for name in re.findall(r"\\fB(.+?)\\fR", part))]
    golden("manual.txt", "\n".join(lines) + "\n")
