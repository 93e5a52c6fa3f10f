"""Files appear whole or not at all, and whoever fails leaves nothing."""

import os

import pytest

from blockmill.shared.files.atomic import remove_if_there, replacing, write_atomically


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "file")


def names(path):
    return os.listdir(os.path.dirname(path))


def content(path):
    with open(path, "rb") as file:
        return file.read()


def test_removing_tells_whether_there_was_a_file(path):
    assert remove_if_there(path) is False
    write_atomically(path, b"x")
    assert remove_if_there(path) is True
    assert names(path) == []


def test_removing_swallows_nothing_but_that_there_is_no_file(tmp_path, path):
    with pytest.raises(OSError, match=r"directory|permitted"):
        remove_if_there(str(tmp_path))
    write_atomically(path, b"x")
    with pytest.raises(NotADirectoryError):
        remove_if_there(f"{path}/inside")


@pytest.mark.parametrize("before", [None, b"old"])
def test_a_file_is_replaced_when_its_writer_has_ended(path, before):
    if before is not None:
        write_atomically(path, before)
    with replacing(path) as partial:
        assert os.path.dirname(partial) == os.path.dirname(path)
        with open(partial, "wb") as file:
            file.write(b"new")
        assert os.path.exists(path) == (before is not None)
    assert names(path) == ["file"]
    assert content(path) == b"new"


@pytest.mark.parametrize("error", [OSError, ValueError, KeyboardInterrupt])
def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(path, error):
    write_atomically(path, b"old")
    with pytest.raises(error), replacing(path) as partial:
        with open(partial, "wb") as file:
            file.write(b"half")
        raise error
    assert names(path) == ["file"]
    assert content(path) == b"old"


def test_a_file_that_cannot_be_put_in_its_place_is_removed(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomically(str(tmp_path / "taken"), b"x")
    assert os.listdir(tmp_path) == ["taken"]


def test_an_existing_file_can_be_refused(path):
    write_atomically(path, b"old", overwrite=False)
    with pytest.raises(FileExistsError):
        write_atomically(path, b"new", overwrite=False)
    assert names(path) == ["file"]
    assert content(path) == b"old"
