import os

import pytest

from blockmill.shared.version import Installation


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "__init__.py"
    path.write_text('__version__ = "1.0"\n')
    return path


def put_anew(file, text):
    new = file.with_name("new")
    new.write_text(text)
    new.replace(file)


def test_the_code_of_this_process_is_not_replaced():
    assert Installation().trouble == ""


def test_another_version_on_the_disk_is_seen_and_so_is_the_way_back(file):
    installation = Installation(file)
    assert installation.trouble == ""
    put_anew(file, '__version__ = "1.1"\n')
    assert "start the service again" in installation.trouble
    file.unlink()  # as in the middle of an upgrade
    assert "start the service again" in installation.trouble
    put_anew(file, '__version__ = "1.0"\n')
    assert installation.trouble == ""


def test_the_same_version_that_was_installed_again_is_no_other_one(file):
    installation = Installation(file)
    put_anew(file, file.read_text())
    os.utime(file, (0, 0))
    assert installation.trouble == ""
    assert installation.trouble == ""
