"""Key files: who may read them, what is in them, and what is refused."""

import os

import pytest

from blockmill.shared.config import keys
from blockmill.shared.errors import BlockmillError


def test_a_pair_is_made_once_and_its_secret_is_its_owners(tmp_path):
    folder = tmp_path / "keys"
    public = keys.new_pair(folder, "client")
    secret = folder / "client.key_secret"
    assert (os.stat(folder).st_mode & 0o777, os.stat(secret).st_mode & 0o777) == (0o700, 0o600)
    pair = keys.load_pair(secret)
    assert keys.public_key(str(public)) == pair[0].decode() == keys.public_key(pair[0].decode())
    with pytest.raises(BlockmillError, match="exists; remove it first"):
        keys.new_pair(folder, "client")
    assert keys.load_pair(secret) == pair


def test_a_secret_that_others_may_read_is_refused(tmp_path):
    keys.new_pair(tmp_path, "client")
    os.chmod(tmp_path / "client.key_secret", 0o640)
    with pytest.raises(BlockmillError, match=r"may be read by others .*chmod 600"):
        keys.load_pair(tmp_path / "client.key_secret")
    with pytest.raises(BlockmillError, match="holds no secret key"):
        keys.load_pair(tmp_path / "client.key")
    with pytest.raises(BlockmillError, match=r"there is no key .*blockmill keys new"):
        keys.load_pair(tmp_path / "other.key_secret")


def test_public_keys_come_back_with_their_accounts(tmp_path):
    pairs = {
        name: keys.load_pair(keys.new_pair(tmp_path / "own", name).with_suffix(".key_secret"))
        for name in "ab"
    }
    entries = [
        keys.PublicKey(name, pair[0].decode(), account)
        for (name, pair), account in zip(pairs.items(), ("ann", ""), strict=True)
    ]
    for entry in entries:
        keys.write_public(tmp_path / "clients", entry)
    assert keys.read_public(tmp_path / "clients") == entries
    assert keys.read_public(tmp_path / "nowhere") == []


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a" * 65, 'x"y', "a\nb"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(BlockmillError, match="can't be the name of a key"):
        keys.new_pair(tmp_path, name)
    with pytest.raises(BlockmillError, match="can't be the name of a key"):
        keys.write_public(tmp_path, keys.PublicKey(name, "k"))
    assert list(tmp_path.iterdir()) == []


def test_a_public_key_is_replaced_whole_and_nothing_else_is_left(tmp_path):
    for account in ("ann", "ben"):
        keys.write_public(tmp_path, keys.PublicKey("laptop", "k" * 40, account))
    assert [path.name for path in tmp_path.iterdir()] == ["laptop.key"]
    assert [entry.account for entry in keys.read_public(tmp_path)] == ["ben"]


def test_a_public_key_that_can_not_be_put_in_its_place_leaves_nothing(tmp_path):
    (tmp_path / "laptop.key").mkdir()
    with pytest.raises(IsADirectoryError):
        keys.write_public(tmp_path, keys.PublicKey("laptop", "k" * 40))
    assert [path.name for path in tmp_path.iterdir()] == ["laptop.key"]
