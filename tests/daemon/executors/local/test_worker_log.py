from blockmill.daemon.executors.local.worker_log import LogReader, OutputLine, tail
from blockmill.shared.messages.engine import Lease
from blockmill.shared.messages.log_trailers import trailer, trailer_lease


def reader(tmp_path, content=b""):
    path = tmp_path / "log"
    path.write_bytes(content)
    return path, LogReader(3, path)


def add(path, content):
    with path.open("ab") as file:
        file.write(content)


def test_text_belongs_to_the_trailer_that_follows_it(tmp_path):
    _, log = reader(tmp_path, b"one\ntwo\n" + trailer("j1", 5, 2) + b"no line break" + trailer("j2", 6, 1))
    assert log.read() == [
        OutputLine(3, "one", Lease("j1", 5, 2)),
        OutputLine(3, "two", Lease("j1", 5, 2)),
        OutputLine(3, "no line break", Lease("j2", 6, 1)),
    ]
    assert log.take_unattributed(None) == []


def test_text_without_a_trailer_belongs_to_what_runs(tmp_path):
    path, log = reader(tmp_path, b"begun\nhalf a li")
    assert log.read() == []
    assert log.take_unattributed(7) == [OutputLine(3, "begun", None, 7)]
    add(path, b"ne\n")
    assert log.read() == []
    assert log.take_unattributed(None) == [OutputLine(3, "half a line", None, None)]


def test_what_was_not_taken_waits_for_its_trailer(tmp_path):
    path, log = reader(tmp_path, b"text\n")
    assert log.read() == []
    add(path, trailer("j1", 1, 1))
    assert log.read() == [OutputLine(3, "text", Lease("j1", 1, 1))]


def test_the_last_words_need_no_line_break(tmp_path):
    _, log = reader(tmp_path, b"last wor")
    assert log.read(last=True) == []
    assert log.take_unattributed(2) == [OutputLine(3, "last wor", None, 2)]


def test_programs_may_print_what_looks_like_a_trailer(tmp_path):
    _, log = reader(tmp_path, b"\x1e\nhello \x1e there\n\x1ea b c\n\xff\xfe\n" + trailer("j1", 1, 1))
    assert len(log.read()) == 4
    assert trailer_lease(b"\xff 1 2") is None


def test_the_tail_is_free_of_trailers(tmp_path):
    path, _ = reader(tmp_path, b"".join(b"line %d\n" % n + trailer("j1", n, 1) for n in range(20)))
    assert tail(path).splitlines() == [f"line {n}" for n in range(12, 20)]
    assert tail(tmp_path / "none") == ""


def test_a_chatty_worker_does_not_fill_the_disk_and_loses_nothing(tmp_path):
    path, log = reader(tmp_path)
    count = 0
    for _ in range(20):
        add(path, b"x" * 999 + b"\n" * 1)
        add(path, (b"y" * 999 + b"\n") * 999)
        while log._offset_bytes < path.stat().st_size:
            log.read()
            count += len(log.take_unattributed(1))
    assert count == 20 * 1000
    assert path.stat().st_blocks * 512 < 12 << 20
