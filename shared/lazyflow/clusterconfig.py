"""Configuration of blocks that external commands compute: schema `cluster-execution-configuration`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..files.field_kinds import as_switch
from ..files.json_file import JsonObject, read_json
from ..files.places import absolute
from ..files.schema import ParsingError, Schema, report, version_kind
from ..schema.fields import nearest
from .jsonfields import AutoEval, FormattedField

_RETIRED = "was retired by the original and does nothing; remove it"
_WITHOUT_EFFECT = {
    "workflow_type": "does nothing here: what is computed stands in the job file",
    "output_slot_id": "does nothing here: what is computed stands in the job file",
    "use_master_local_scratch": "does nothing, as in the original: nodes write into the output itself",
    "node_output_compression_cmd": "does nothing, as in the original; compression is the output's",
    "node_output_decompression_cmd": "does nothing, as in the original; compression is the output's",
    "debug_option_use_previous_node_files": "does nothing, as in the original: finished blocks are kept",
    "num_jobs": _RETIRED,
    "task_subrequest_shape": f"{_RETIRED}; sub_block_shape in the output's description says it now",
    "scratch_directory": _RETIRED,
}


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ParsingError(f"expected a text, got {value!r}")
    return value


def _server(value: Any) -> str:
    if _text(value).startswith("-") or any(c.isspace() for c in value):
        raise ParsingError(f"{value!r} is no name of a host")
    return value


def _above_zero(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < 1:
        raise ParsingError(f"expected a whole number above 0, got {value!r}")
    return int(value)


def _off(value: Any) -> bool:
    if as_switch(value):
        raise ParsingError(
            "true was never carried out by the original and is not here: "
            "nodes write into the output itself; remove it"
        )
    return False


def _template(required: tuple[str, ...], optional: tuple[str, ...] = ()) -> Callable[[Any], str]:
    check = FormattedField(required, optional)
    return lambda value: check(_text(value))


_COMPRESSION = _template(("compressed_file", "uncompressed_file"))
_SCHEMA = Schema(
    "cluster-execution-configuration",
    version_kind((1.0).__eq__, ", but only 1.0 to 1.0 are understood"),
    {
        "workflow_type": str,
        "output_slot_id": str,
        "sys_tmp_dir": _text,
        "task_threadpool_size": AutoEval(_above_zero),
        "task_total_ram_mb": AutoEval(_above_zero),
        "task_timeout_secs": AutoEval(_above_zero),
        "use_node_local_scratch": _off,
        "use_master_local_scratch": as_switch,
        "node_output_compression_cmd": _COMPRESSION,
        "node_output_decompression_cmd": _COMPRESSION,
        "task_progress_update_command": _template(("progress",)),
        "task_launch_server": _server,
        "output_log_directory": _text,
        "server_working_directory": _text,
        "command_format": _template(("task_args",), ("task_name", "task_output_file")),
        "debug_option_use_previous_node_files": as_switch,
    },
    {"command_format": "is missing", "output_log_directory": "is missing"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """A configuration that has been read; paths are absolute.

    Attributes
    ----------
    path : str
        The file.
    command_format : str
        Shell command that does one block: ``{task_args}`` (for ``blockmill``), and perhaps
        ``{task_name}`` and ``{task_output_file}``, each filled in as it is.
    output_log_directory : str
        For the log of each task; relative to the configuration.
    task_launch_server : str
        ``localhost``, or a host on which the commands are run by ssh.
    server_working_directory : str or None
        The folder in which the command is run.
    sys_tmp_dir : str or None
        For temporary files of a node.
    task_threadpool_size, task_total_ram_mb : int or None
        Worker processes of a node, and MiB that they may take for blocks together.
    task_timeout_secs : int or None
        Longest time for one attempt at a task; then it is ended and counts as failed. (The original does
        not look at it.)
    task_progress_update_command : str or None
        Shell command that a node runs beside its work, with the percent as ``{progress}``.
    notes : tuple of str
        Keys in the file that have no effect, each with the reason.
    """

    path: str
    command_format: str
    output_log_directory: str
    task_launch_server: str = "localhost"
    server_working_directory: str | None = None
    sys_tmp_dir: str | None = None
    task_threadpool_size: int | None = None
    task_total_ram_mb: int | None = None
    task_timeout_secs: int | None = None
    task_progress_update_command: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_local(self) -> bool:
        """True if commands are run on this host, without ssh."""
        return self.task_launch_server == "localhost"

    @property
    def workers(self) -> int:
        """Worker processes of a node: the configured number, or the processors of this host."""
        return self.task_threadpool_size or len(os.sched_getaffinity(0))


def read_cluster_config(path: str | os.PathLike[str]) -> ClusterConfig:
    """Read a configuration.

    Unknown keys are skipped, since people use them as comments. `notes` lists them, unless they begin
    with ``#``.

    Raises
    ------
    SchemaError
        If it is of another schema or version.
    ParsingError
        If it can't be read or fields are wrong or missing, each with file and field.
    """
    where = absolute(os.path.expanduser(os.fspath(path)))  # noqa: PTH111
    document = read_json(where)
    try:
        values = _SCHEMA.read(document)
    except ParsingError as error:
        raise report(error.problems, where) from error
    logs = os.path.expanduser(values["output_log_directory"])  # noqa: PTH111
    values["output_log_directory"] = os.path.normpath(os.path.join(os.path.dirname(where), logs))
    settings = {key: values[key] for key in ClusterConfig.__dataclass_fields__ if values.get(key) is not None}
    return ClusterConfig(path=where, notes=tuple(_notes(document, where)), **settings)


def _notes(document: JsonObject, where: str) -> list[str]:
    """Notes about keys in the file that have no effect.

    Parameters
    ----------
    document : JsonObject
        The file's content.
    where : str
        Name of the file.

    Returns
    -------
    list of str
    """
    notes = []
    for key, value in dict(document).items():
        name = key.replace(" ", "_")
        if name in _WITHOUT_EFFECT:
            if value is not None and value is not False:
                notes.append(f"{where}: {name}: {_WITHOUT_EFFECT[name]}")
        elif name not in _SCHEMA.kinds and not name.startswith(("_schema_", "#")):
            guess = nearest(name, _SCHEMA.kinds)
            notes.append(f"{where}: {name}: is not known{f'; did you mean {guess}?' if guess else ''}")
    return notes
