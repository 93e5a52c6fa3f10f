"""The configuration from all of its places: what counts, where it was set, and what is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.shared.config.layers import config_files, load_config
from blockmill.shared.config.model import Config
from blockmill.shared.errors import ConfigError


@pytest.fixture
def places(tmp_path, monkeypatch):
    """The folders of a unit and of a person, in the order in which they count."""
    unit, home = tmp_path / "unit", tmp_path / "home"
    for folder in (unit, home / "blockmill"):
        (folder / "conf.d").mkdir(parents=True)
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(unit))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    return unit, home / "blockmill"


def mistakes(**options):
    with pytest.raises(ConfigError) as caught:
        load_config(**options)
    return str(caught.value).splitlines()


def test_nothing_set_is_the_default_and_says_so(tmp_path):
    (tmp_path / "c.yaml").write_text("workers:\n")
    loaded = load_config(only=tmp_path / "c.yaml", environ={})
    assert loaded.config == Config()
    assert loaded.origin(("workers", "count")) == "default"


def test_a_section_whose_lines_are_all_commented_out_takes_nothing_back(places):
    unit, home = places
    (unit / "config.yaml").write_text("workers: {count: 1}\n")
    (home / "config.yaml").write_text("workers:\n  # count: 2\n")
    assert load_config(environ={}).config.workers.count == 1


def test_later_places_win_key_by_key(places):
    unit, home = places
    (unit / "config.yaml").write_text("workers: {count: 1, memory: 1GiB}\nhistory_days: 1\n")
    (unit / "conf.d" / "10-a.yaml").write_text("workers: {count: 2, memory_per_worker: 2GiB}\n")
    (unit / "conf.d" / "20-b.yaml").write_text("workers: {count: 3}\n")
    (home / "config.yaml").write_text("workers:\n  recycle: {tasks: 4}\n")
    assert [p for p in config_files() if p.is_relative_to(unit.parent)] == [
        unit / "config.yaml",
        unit / "conf.d" / "10-a.yaml",
        unit / "conf.d" / "20-b.yaml",
        home / "config.yaml",
    ]
    loaded = load_config(
        environ={"BLOCKMILL__WORKERS__MEMORY": "5GiB"}, options={"history_days": ("--history-days", 9.0)}
    )
    workers = loaded.config.workers
    assert (workers.count, workers.memory, workers.memory_per_worker) == (3, 5 << 30, 2 << 30)
    assert (workers.recycle.tasks, loaded.config.history_days) == (4, 9.0)
    assert loaded.origin(("workers", "count")) == f"{unit}/conf.d/20-b.yaml:1:18"
    assert loaded.origin(("workers", "memory")) == "$BLOCKMILL__WORKERS__MEMORY"
    assert loaded.origin(("workers", "recycle", "tasks")) == f"{home}/config.yaml:2:20"
    assert loaded.origin(("history_days",)) == "--history-days"


def test_every_mistake_of_every_source_is_told_with_its_place(places):
    unit, home = places
    (unit / "config.yaml").write_text("workers:\n  memroy: 1GiB\n")
    (home / "config.yaml").write_text("history_days: 0\nworkers: {count: 1.5}\n")
    (home / "conf.d" / "x.yaml").write_text("a: [\n")
    found = mistakes(environ={"BLOCKMILL__WORKERS__RECYCLE__AGE_S": "soon", "BLOCKMILL__X": "}"})
    assert any(line.startswith(f"{home}/conf.d/x.yaml:2:1: ") for line in found)
    assert "$BLOCKMILL__X: '}' is no value; give it as in a YAML file" in found
    assert f"{unit}/config.yaml:2:3 workers.memroy: unknown key; did you mean memory?" in found
    assert f"{home}/config.yaml:1:15 history_days: must be greater than 0 (is 0)" in found
    assert f"{home}/config.yaml:2:18 workers.count: must be a whole number (is 1.5)" in found
    assert (
        "$BLOCKMILL__WORKERS__RECYCLE__AGE_S workers.recycle.age_s: must be a number "
        '(is the text "soon")' in found
    )


def test_a_mistake_that_a_later_place_corrects_is_none(places):
    unit, home = places
    (unit / "config.yaml").write_text("history_days: -5\n")
    (home / "config.yaml").write_text("history_days: 5\n")
    assert load_config(environ={}).config.history_days == 5


@pytest.mark.parametrize("text", ["1, other: 2", "1}\nworkers: {count: 3", "!!python/name:os.system", ""])
def test_a_variable_sets_its_own_key_alone(tmp_path, text):
    """A value that ends its own mapping, or begins another key, must not set anything else."""
    (tmp_path / "c.yaml").write_text("history_days: 2\n")
    environ = {"BLOCKMILL__HISTORY_DAYS": text}
    assert "HISTORY_DAYS" in mistakes(only=tmp_path / "c.yaml", environ=environ)[0]


@given(text=st.text(max_size=30))
def test_any_variable_gives_a_configuration_or_an_error(text, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text("history_days: 2\n")
    try:
        loaded = load_config(only=path, environ={"BLOCKMILL__WORKERS__MEMORY": text})
    except ConfigError as error:
        assert "WORKERS__MEMORY" in str(error)
    else:
        assert loaded.config == Config(history_days=2.0, workers={"memory": loaded.config.workers.memory})


def test_an_unreadable_home_is_no_place(monkeypatch, tmp_path):
    """As in a unit with ProtectHome=yes, where the homes of people can't be entered."""
    from pathlib import Path

    def refused(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(Path, "is_file", refused)
    assert config_files() == []
