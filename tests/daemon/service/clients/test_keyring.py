"""The keys of clients: each change of their files counts at once."""

import pytest
import zmq

from blockmill.daemon.service.clients.keyring import NOBODY, Keyring
from blockmill.shared.config.keys import PublicKey, write_public


@pytest.fixture
def two_keys():
    return [zmq.curve_keypair()[0].decode() for _ in range(2)]


def test_a_key_file_that_is_written_anew_in_its_place_counts_at_once(tmp_path, two_keys):
    old, new = two_keys
    keyring = Keyring(tmp_path)
    path = write_public(tmp_path / "clients", PublicKey("ann", old, "0"))
    assert (keyring.account_of(old), keyring.account_of(new)) == (0, NOBODY)
    path.write_text(path.read_text().replace(old, new))  # the folder does not change
    assert (keyring.account_of(old), keyring.account_of(new)) == (NOBODY, 0)


def test_a_key_that_is_removed_counts_no_more(tmp_path, two_keys):
    keyring = Keyring(tmp_path)
    path = write_public(tmp_path / "clients", PublicKey("ann", two_keys[0], "0"))
    assert keyring.account_of(two_keys[0]) == 0
    path.unlink()
    assert keyring.account_of(two_keys[0]) == NOBODY


def test_a_link_that_leads_nowhere_shuts_nobody_out_forever(tmp_path, two_keys):
    keyring = Keyring(tmp_path)
    write_public(tmp_path / "clients", PublicKey("ann", two_keys[0], "0"))
    link = tmp_path / "clients" / "other.key"
    link.symlink_to(tmp_path / "nowhere")
    keyring.account_of(two_keys[0])
    link.unlink()
    assert keyring.account_of(two_keys[0]) == 0
