from blockmill.daemon.service.clients.memory_guard import MemoryGuard, own_bytes


def test_growth_is_told_once_and_measured_anew_from_where_it_has_settled():
    measured = iter([100, 90, 190, 191, 160, 260, 261])
    guard = MemoryGuard(100, lambda: next(measured))
    clock = iter([0, 1, 2, 3, 5, 6, 7])
    growth = [guard.exceeded(now_s) for now_s in clock]
    assert growth == [None, None, None, 101, None, None, 101]


def test_it_looks_only_now_and_then_and_leaves_time_to_settle():
    looks = []
    guard = MemoryGuard(100, lambda: looks.append(1) or 1000 * len(looks))
    assert guard.exceeded(0.0) is None
    assert guard.exceeded(0.05) is None
    assert len(looks) == 1
    assert guard.exceeded(0.2) == 1000
    assert guard.exceeded(1.0) is None
    assert len(looks) == 2


def test_memory_of_this_process_is_counted():
    before = own_bytes()
    held = bytearray(64 << 20)
    held[::4096] = b"x" * len(held[::4096])
    assert own_bytes() - before > 60 << 20
