from collections import Counter

import hypothesis.strategies as st
from hypothesis import given

from blockmill.daemon.service.clients.long_polls import LongPolls

MOST = 16


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=200))
def test_there_are_never_too_many_and_a_user_without_calls_finds_a_place(steps):
    calls, model = LongPolls(MOST, MOST), []
    for number, (uid, add) in enumerate(steps):
        if add:
            free = MOST - len(model)
            added = calls.add(uid, number, (uid, number))
            assert added == (Counter(one for one, _ in model)[uid] < free)
            if added:
                model.append((uid, number))
        else:
            offered = []
            calls.take(lambda call, uid=uid, offered=offered: offered.append(call) or call[0] == uid)
            assert offered == model
            model = [call for call in model if call[0] != uid]
        assert len(calls) == len(model) <= MOST


def test_one_user_gets_half_and_the_next_half_of_the_rest():
    calls = LongPolls(16, 16)
    assert [sum(calls.add(uid, uid, None) for _ in range(100)) for uid in range(4)] == [8, 4, 2, 1]


def test_one_connection_leaves_places_to_others_of_its_user():
    calls = LongPolls(100, 3)
    assert sum(calls.add(7, "wild", None) for _ in range(10)) == 3
    assert calls.add(7, "calm", None)
    calls.take(lambda call: True)
    assert calls.add(7, "wild", None)
