"""A process that becomes another user: every thread of it, for good."""

import ctypes
import json
import os
import pwd
import tempfile
import threading
from pathlib import Path

import pytest

from blockmill.shared.system import becoming
from blockmill.shared.system.impersonation import Identity, identity_of, may_act

pytestmark = pytest.mark.skipif(not may_act(), reason="needs CAP_SETUID and CAP_SETGID, as root has them")
NOBODY = pwd.getpwnam("nobody")
_PR_SET_KEEPCAPS = 8


def in_child(act):
    """What `act` returns in a forked process, as JSON brings it back."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, json.dumps(act()).encode())
        except BaseException as error:  # noqa: BLE001 - the parent tells it
            os.write(write, json.dumps(f"{type(error).__name__}: {error}").encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read) as file:
        told = json.loads(file.read())
    os.waitpid(child, 0)
    return told


def threads():
    """Start two threads that wait."""
    for _ in range(2):
        threading.Thread(target=threading.Event().wait, daemon=True).start()


def test_all_threads_are_the_user_and_have_no_capability():
    def act():
        threads()
        becoming.become(identity_of(NOBODY.pw_uid))
        statuses = [path.read_text().splitlines() for path in Path("/proc/self/task").glob("*/status")]
        return [
            {key: value.split() for key, _, value in (line.partition(":") for line in status)}
            for status in statuses
        ]

    told = in_child(act)
    assert len(told) == 3
    for status in told:
        assert set(status["Uid"]) == {str(NOBODY.pw_uid)}
        assert set(status["Gid"]) == {str(NOBODY.pw_gid)}
        assert {int(status[f"Cap{name}"][0], 16) for name in ("Prm", "Eff", "Amb")} == {0}


def test_there_is_no_way_back():
    def act():
        becoming.become(identity_of(NOBODY.pw_uid))
        outcomes = []
        for ids in ((0, 0, 0), (-1, 0, -1), (1, 1, 1)):
            try:
                os.setresuid(*ids)
                outcomes.append("changed")
            except PermissionError:
                outcomes.append("refused")
        return outcomes

    assert in_child(act) == ["refused"] * 3


def be_an_account_with_two_capabilities(*, keep=False):
    """As systemd starts a service; with `keep`, they stay over any change of the user."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setresgid(1, 1, 1)
    os.setresuid(1, 1, 1)
    two = 1 << 6 | 1 << 7
    libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(two, two, two, 0, 0, 0))
    libc.prctl(_PR_SET_KEEPCAPS, int(keep), 0, 0, 0)
    threads()
    assert may_act()


def test_an_account_with_the_two_capabilities_can_do_it_as_well():
    """And no thread keeps its own, which each could drop for itself alone."""

    def act():
        be_an_account_with_two_capabilities()
        becoming.become(identity_of(NOBODY.pw_uid))
        return [may_act(), os.getresuid()]

    assert in_child(act) == [False, [NOBODY.pw_uid] * 3]


def test_whose_threads_have_kept_something_does_not_go_on():
    def act():
        be_an_account_with_two_capabilities(keep=True)
        becoming.become(identity_of(NOBODY.pw_uid))

    assert "has not given up everything" in in_child(act)


def test_who_may_not_is_told_what_is_needed():
    def act():
        os.setresuid(1, 1, 1)
        becoming.become(identity_of(NOBODY.pw_uid))

    told = in_child(act)
    assert told.startswith("StorageError: a worker can't become nobody (")
    assert "CAP_SETUID and CAP_SETGID" in told


def test_who_has_kept_a_group_does_not_go_on(monkeypatch):
    monkeypatch.setattr(becoming.os, "setgroups", lambda groups: None)

    def act():
        becoming.become(Identity(NOBODY.pw_uid, NOBODY.pw_gid, (12345,)))

    assert "has not given up everything" in in_child(act)


def test_home_and_folder_are_the_users(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/root/.cache")
    monkeypatch.setenv("HOME", "/root")

    def act():
        becoming.become(identity_of(NOBODY.pw_uid))
        return [os.environ["HOME"], os.environ["USER"], os.environ.get("XDG_CACHE_HOME"), os.getcwd()]

    assert in_child(act) == [NOBODY.pw_dir, "nobody", None, "/"]


def test_an_open_file_stays_open_and_others_are_closed_to_it():
    with tempfile.NamedTemporaryFile() as secret:
        secret.write(b"x")
        secret.flush()

        def act():
            becoming.become(identity_of(NOBODY.pw_uid))
            secret.seek(0)
            try:
                return Path(secret.name).read_text()
            except PermissionError:
                return secret.read().decode() + " by its descriptor"

        assert in_child(act) == "x by its descriptor"
