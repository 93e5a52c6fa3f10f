import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.shared.locking.lockfile import LockHolder, compose, parse

TOKEN = "0123456789abcdef"


def check(holder):
    facts = (holder.host, holder.pid, holder.start_time, holder.token, holder.pid_namespace)
    assert isinstance(holder, LockHolder) and holder.describe()
    if holder.kind == "ours":
        assert None not in facts and len(holder.token) == 16 and int(holder.token, 16) >= 0
    else:
        assert facts == (None,) * 5 and not holder.is_here


@given(st.binary())
def test_any_bytes_are_a_holder(content):
    check(parse(content))


@given(st.integers(0, 130), st.integers(0, 20), st.binary(max_size=20))
def test_any_damage_to_our_text_still_gives_a_holder(at, length, damage):
    content = compose(TOKEN, "note")
    check(parse(content[:at] + damage + content[at + length :]))


@given(st.text())
def test_no_note_changes_the_facts(note):
    holder = parse(compose(TOKEN, note))
    check(holder)
    assert holder.is_here and holder.token == TOKEN and holder.pid == os.getpid()


def test_lines_of_later_versions_and_another_order_are_understood():
    first, *facts = compose(TOKEN, None).decode().rstrip("\n").split("\n")
    holder = parse("\n".join([first, "colour: blue", "odd", *reversed(facts)]).encode())
    assert holder.kind == "ours" and holder.pid == os.getpid()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (bytes(64), "empty"),
        (b"Owning process args:\nilastik.py\n", "lazyflow"),
        (b"Owning", "unknown"),
        (b"\xff\xfe", "unknown"),
        (b"blockmill lock 1\n", "unknown"),
        pytest.param(
            compose(TOKEN, None).replace(TOKEN.encode(), b"../../../../etc/"), "unknown", id="token"
        ),
        pytest.param(compose(TOKEN, None).replace(b"pid: ", b"pid: -"), "unknown", id="pid"),
        pytest.param(compose(TOKEN, None), "ours", id="ours"),
    ],
)
def test_the_kind_of_a_holder_is_told_by_the_text(content, kind):
    assert parse(content).kind == kind
