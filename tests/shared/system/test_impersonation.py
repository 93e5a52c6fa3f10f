"""Files as another user: what the kernel denies to that user is denied to this thread, and to it alone."""

import os
import pwd
import tempfile
import threading

import msgspec
import pytest

from blockmill.shared.errors import Refused, StorageError
from blockmill.shared.system.impersonation import (
    acting_as,
    group_number,
    identity_of,
    may_act,
    user_name,
    user_number,
)

as_root = pytest.mark.skipif(not may_act(), reason="needs CAP_SETUID and CAP_SETGID, as root has them")
NOBODY = pwd.getpwnam("nobody").pw_uid


@pytest.fixture
def open_folder(tmp_path):
    """A folder that everybody may enter and write to, through all of its parents."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        yield folder


@pytest.fixture
def secret(open_folder):
    """A file that only its owner may read."""
    path = f"{open_folder}/secret"
    with open(path, "w") as file:
        file.write("x")
    os.chmod(path, 0o600)
    return path


@as_root
def test_a_secret_is_denied_and_new_files_are_the_others(open_folder, secret):
    theirs = f"{open_folder}/theirs"
    with acting_as(identity_of(NOBODY)):
        with pytest.raises(PermissionError):
            os.close(os.open(secret, os.O_RDONLY))
        with open(theirs, "w"):
            pass
    assert os.stat(theirs).st_uid == NOBODY
    with open(secret) as file:
        assert file.read() == "x"


@as_root
def test_groups_are_the_others_and_come_back(open_folder):
    before = os.getgroups()
    shared = f"{open_folder}/of-a-group"
    with open(shared, "w"):
        pass
    os.chown(shared, 0, 12345)
    os.chmod(shared, 0o640)
    identity = identity_of(NOBODY)
    with acting_as(identity), pytest.raises(PermissionError):
        os.close(os.open(shared, os.O_RDONLY))

    with acting_as(msgspec.structs.replace(identity, groups=(12345,))), open(shared):
        pass
    assert os.getgroups() == before


@as_root
def test_other_threads_stay_who_they_are(secret):
    acting, looked, read = threading.Event(), threading.Event(), []

    def another():
        acting.wait()
        with open(secret):
            read.append(True)
        looked.set()

    thread = threading.Thread(target=another)
    thread.start()
    with acting_as(identity_of(NOBODY)):
        acting.set()
        looked.wait(10)
    thread.join()
    assert read == [True]


@as_root
def test_an_error_inside_ends_it(secret):
    with pytest.raises(ZeroDivisionError), acting_as(identity_of(NOBODY)):
        raise ZeroDivisionError
    with open(secret):
        pass


@as_root
def test_who_may_not_act_is_told_and_stays_himself(open_folder):
    """A child without the capabilities: it must fail, and not go on as it is."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            try:
                with acting_as(identity_of(pwd.getpwnam("daemon").pw_uid)):
                    code = 2
            except StorageError as error:
                code = 0 if "CAP_SETGID" in str(error) else 3
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_names_and_numbers():
    assert user_number("root") == user_number("0") == 0
    assert user_name(0) == "root"
    assert user_name(4_000_000_000) == "user 4000000000"
    assert group_number("root") == 0
    for ask in (user_number, group_number):
        with pytest.raises(Refused, match=r"there is no .* nosuch"):
            ask("nosuch")
    with pytest.raises(Refused, match="no account with the number"):
        identity_of(4_000_000_000)
