import os

import pytest

from blockmill.shared.volumes.blockwise.description_copy import DescriptionCopy


@pytest.fixture
def directories(tmp_path):
    made = [tmp_path / str(number) for number in range(3)]
    for directory in made:
        directory.mkdir()
    return made


def test_every_directory_gets_the_same_content_and_one_that_is_there_stays(directories):
    (directories[2] / "v.json").write_bytes(b"older")
    copy = DescriptionCopy("v.json", b"{}")
    for directory in directories * 2:
        copy.put(str(directory))
    assert [(d / "v.json").read_bytes() for d in directories] == [b"{}", b"{}", b"older"]
    assert (directories[0] / "v.json").stat().st_nlink == 2


@pytest.mark.parametrize("error", [OSError(31, "Too many links"), PermissionError(1, "no hard links here")])
def test_where_it_can_not_be_linked_it_is_written(directories, monkeypatch, error):
    def refuse(*_):
        raise error

    monkeypatch.setattr(os, "link", refuse)
    copy = DescriptionCopy("v.json", b"{}")
    for directory in directories:
        copy.put(str(directory))
    assert [(d / "v.json").stat().st_nlink for d in directories] == [1, 1, 1]


def test_a_former_copy_that_is_gone_is_no_obstacle(directories):
    copy = DescriptionCopy("v.json", b"{}")
    copy.put(str(directories[0]))
    (directories[0] / "v.json").unlink()
    copy.put(str(directories[1]))
    copy.put(str(directories[2]))
    assert (directories[2] / "v.json").read_bytes() == b"{}"
