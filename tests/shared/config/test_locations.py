import pytest

from blockmill.shared.config import locations
from blockmill.shared.errors import BlockmillError

VARIABLES = ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "BLOCKMILL_SOCKET")


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/ann")


def test_the_service_managers_folders_come_first_then_xdg_then_the_usual(monkeypatch):
    assert str(locations.state_dir()) == "/home/ann/.local/state/blockmill"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")  # to be ignored, as the standard says
    assert str(locations.state_dir()) == "/home/ann/.local/state/blockmill"
    monkeypatch.setenv("XDG_STATE_HOME", "/s")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/r")
    assert (str(locations.state_dir()), str(locations.socket_path())) == (
        "/s/blockmill",
        "/r/blockmill/service.sock",
    )
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/blockmill:/var/lib/other")
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/blockmill")
    assert (str(locations.state_dir()), str(locations.runtime_dir())) == (
        "/var/lib/blockmill",
        "/run/blockmill",
    )


def test_what_is_given_comes_before_the_environment(monkeypatch):
    monkeypatch.setenv("BLOCKMILL_SOCKET", "/tmp/env")
    assert str(locations.socket_path()) == "/tmp/env"
    assert str(locations.socket_path("/tmp/given")) == "/tmp/given"


def test_a_path_that_no_socket_holds_is_refused_with_what_to_do():
    with pytest.raises(BlockmillError, match="a unix socket holds 107; give a shorter one"):
        locations.socket_path("/tmp/" + "x" * 103)
    assert len(str(locations.socket_path("/tmp/" + "x" * 102))) == 107
