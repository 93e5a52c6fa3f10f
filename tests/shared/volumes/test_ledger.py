import pytest

from blockmill.shared.errors import StorageError
from blockmill.shared.volumes.ledger import Ledger


def test_a_ledger_that_is_only_read_is_left_as_it_is(tmp_path):
    path = tmp_path / "ledger"
    written = Ledger(path, 3)
    written.note(1, 0xABCD)
    written.close()
    path.chmod(0o400)
    ledger = Ledger(path, 3, writable=False)
    assert [ledger.crc_of(number) for number in range(3)] == [None, 0xABCD, None]
    with pytest.raises(OSError, match="descriptor"):
        ledger.note(0, 1)
    ledger.close()


def test_reading_makes_no_ledger(tmp_path):
    with pytest.raises(FileNotFoundError):
        Ledger(tmp_path / "ledger", 3, writable=False)
    (tmp_path / "ledger").touch()
    with pytest.raises(StorageError, match="0 bytes"):
        Ledger(tmp_path / "ledger", 3, writable=False)
    assert (tmp_path / "ledger").stat().st_size == 0
