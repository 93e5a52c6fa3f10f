import json

import pytest

from blockmill.shared.lazyflow.clusterconfig import read_cluster_config
from blockmill.shared.lazyflow.jsonfields import ParsingError, SchemaError

LEAST = {
    "_schema_name": "cluster-execution-configuration",
    "_schema_version": 1.0,
    "command_format": "blockmill {task_args}",
    "output_log_directory": "logs",
}
FULL = LEAST | {
    "workflow_type": "PixelClassification",
    "output_slot_id": "Predictions",
    "sys_tmp_dir": "/tmp",
    "task_threadpool_size": "2*2",
    "task_total_ram_mb": "4*1024",
    "task_timeout_secs": "20*60",
    "use_node_local_scratch": False,
    "use_master_local_scratch": True,
    "node_output_compression_cmd": "tar cf {compressed_file} {uncompressed_file}",
    "node_output_decompression_cmd": "tar xf {compressed_file} {uncompressed_file}",
    "task_progress_update_command": "./report.sh {progress}",
    "task_launch_server": "node-7",
    "server_working_directory": "/tmp",
    "command_format": "qsub -N {task_name} -o {task_output_file} blockmill {task_args}",
    "debug_option_use_previous_node_files": False,
}


@pytest.fixture
def read(tmp_path):
    def made(values):
        (tmp_path / "c.json").write_text(json.dumps(values))
        return read_cluster_config(tmp_path / "c.json")

    return made


def test_every_field_is_read_and_expressions_are_reckoned(read, tmp_path):
    config = read(FULL)
    assert (config.task_threadpool_size, config.task_total_ram_mb, config.task_timeout_secs) == (
        4,
        4096,
        1200,
    )
    assert (config.sys_tmp_dir, config.server_working_directory) == ("/tmp", "/tmp")
    assert config.task_progress_update_command == "./report.sh {progress}"
    assert config.command_format == FULL["command_format"]
    assert config.output_log_directory == str(tmp_path / "logs")
    assert not config.is_local


def test_what_is_left_out_has_its_default(read):
    config = read(LEAST)
    assert config.is_local
    assert config.task_timeout_secs is None
    assert config.notes == ()


def test_keys_without_effect_are_told_with_the_reason(read):
    notes = "\n".join(read(FULL | {"num_jobs": 4, "scratch directory": "/x", "task_timout_secs": 3}).notes)
    for key in (
        "workflow_type",
        "output_slot_id",
        "use_master_local_scratch",
        "num_jobs",
        "scratch_directory",
    ):
        assert f"c.json: {key}: " in notes
    assert "did you mean task_timeout_secs?" in notes
    assert "debug_option" not in notes  # it is off
    assert "sys_tmp_dir" not in notes


def test_comments_are_not_told(read):
    assert read(LEAST | {"## NOTE": "mine", "#num_jobs": 3}).notes == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"command_format": "blockmill"}, r"c\.json: command_format: .* lacks \{task_args\}"),
        ({"command_format": "{task_args} {task}"}, r"command_format: .*\{task\}, which nobody"),
        ({"command_format": None}, "command_format: is missing"),
        ({"output_log_directory": None}, "output_log_directory: is missing"),
        ({"task_timeout_secs": 0}, "task_timeout_secs: expected a whole number above 0"),
        ({"task_timeout_secs": True}, "task_timeout_secs"),
        ({"task_threadpool_size": "__import__('os')"}, "task_threadpool_size"),
        ({"task_total_ram_mb": 1.5}, "task_total_ram_mb: expected a whole number"),
        ({"use_node_local_scratch": True}, "use_node_local_scratch: true was never"),
        ({"use_node_local_scratch": "yes"}, "use_node_local_scratch: expected true or false"),
        ({"task_launch_server": "-oProxyCommand=x"}, "task_launch_server: .* is no name of a host"),
        ({"task_progress_update_command": "report"}, r"lacks \{progress\}"),
        ({"node_output_compression_cmd": "{compressed_file}"}, r"lacks \{uncompressed_file\}"),
    ],
)
def test_mistakes_are_told_with_file_and_field(read, changes, said):
    with pytest.raises(ParsingError, match=said):
        read(LEAST | changes)


def test_another_schema_or_version_is_refused(read):
    with pytest.raises(SchemaError):
        read(LEAST | {"_schema_name": "blockwise-fileset-description"})
    with pytest.raises(SchemaError):
        read(LEAST | {"_schema_version": 2.0})
