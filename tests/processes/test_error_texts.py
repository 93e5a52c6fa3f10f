"""Errors of user code whose text is odd: the job fails with that error, and ends."""

import numpy as np
import pytest

from blockmill import Engine, RoiRequestBatch, RoiRequestBatchError

VOXELS = np.arange(400, dtype=np.uint16).reshape(20, 20)
ROIS = [((y, 0), (y + 5, 20)) for y in range(0, 20, 5)]

RAISES = {
    "a file name that is no UTF-8": (
        "raise RuntimeError('cannot use ' + os.fsdecode(b'caf\\xe9.tif'))",
        r"RuntimeError: cannot use caf\udce9.tif",
    ),
    "an array of digits": ("raise ValueError('x' * 5_000_000)", "xxx... and 4996000 more characters"),
    "a __str__ that raises": ("raise Odd", "Odd: (this error can't say its text"),
    "one of ours": ("raise BlockError('cannot use ' + os.fsdecode(b'caf\\xe9.tif'))", r"use caf\udce9.tif"),
    "memory": ("raise MemoryError(os.fsdecode(b'caf\\xe9'))", r"out of memory: caf\udce9"),
}


def fails(tmp_path, monkeypatch, body, **options):
    """The error of a batch whose operation does `body`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "odd_texts.py").write_text(
        "import os\n"
        "from blockmill.shared.errors import BlockError\n"
        "class Odd(Exception):\n"
        "    def __str__(self): return self.missing\n"
        f"def f(block):\n    {body}\n"
    )
    with Engine(1) as engine, pytest.raises(RoiRequestBatchError) as caught:
        RoiRequestBatch(
            VOXELS, ROIS, operation={"python": {"function": "odd_texts:f"}}, engine=engine, **options
        ).execute()
    return str(caught.value)


@pytest.mark.parametrize("kind", RAISES)
def test_the_error_is_told_and_ends_the_batch(tmp_path, monkeypatch, kind):
    body, told = RAISES[kind]
    text = fails(tmp_path, monkeypatch, body)
    assert told in text
    assert "ended with exit code" not in text
    assert len(text) < 20_000


def test_a_file_name_that_is_no_utf8_may_be_printed(tmp_path, monkeypatch):
    body = "print(os.fsdecode(b'caf\\xe9')); raise RuntimeError('after the print')"
    text = fails(tmp_path, monkeypatch, body)
    assert "after the print" in text
    assert "UnicodeEncodeError" not in text


def test_a_worker_that_dies_of_its_reply_has_failed_an_attempt(tmp_path, monkeypatch):
    """Else the block is given to the next worker for ever."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "no_reply.py").write_text(
        "from blockmill.workers.reply_batch import ReplyBatch\n"
        "def f(block):\n"
        "    def add(*args, **options): raise OSError('this reply can not be sent')\n"
        "    ReplyBatch.add = add\n"
        "    return block\n"
    )
    with Engine(1) as engine, pytest.raises(RoiRequestBatchError, match="this reply can not be sent"):
        RoiRequestBatch(
            VOXELS, ROIS, operation={"python": {"function": "no_reply:f"}}, engine=engine
        ).execute()
