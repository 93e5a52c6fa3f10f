import pytest

from blockmill.shared.units import format_count, format_duration, format_rate, format_size


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 B"), (1, "1 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (1536, "1.50 KiB"),
        (15 << 10, "15.0 KiB"),
        ((1 << 20) - 1, "1024 KiB"), (1 << 20, "1.00 MiB"), (300 << 20, "300 MiB"), (1023 << 20, "1023 MiB"),
        (1 << 30, "1.00 GiB"), (25 << 29, "12.5 GiB"), (3 << 40, "3.00 TiB"), (5000 << 40, "5000 TiB"),
    ],
)  # fmt: skip
def test_sizes_are_binary_and_have_three_digits(nbytes, text):
    assert format_size(nbytes) == text


def test_limits_one_percent_apart_read_differently():
    assert format_size(1.01 * (1 << 30)) != format_size(1 << 30)


@pytest.mark.parametrize(
    ("nbytes", "seconds", "text"),
    [(3 << 20, 2.0, "1.50 MiB/s"), (0, 0.0, "0 B/s"), (1 << 30, 4, "256 MiB/s")],
)
def test_rates_are_sizes_a_second(nbytes, seconds, text):
    assert format_rate(nbytes, seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"), (0.04, "0.0 s"), (0.45, "0.5 s"), (9.4, "9.4 s"), (10, "10 s"),
        (119, "119 s"), (120, "2.0 min"),
        (150, "2.5 min"), (3600, "60 min"), (7200, "2.0 h"),
        (86400, "24 h"), (2 * 86400, "2.0 d"), (1e8, "1157 d"),
    ],
)  # fmt: skip
def test_times_are_in_the_unit_that_fits(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 workers"), (1, "1 worker"), (2, "2 workers")])
def test_one_of_a_kind_is_in_the_singular(count, text):
    assert format_count(count, "worker") == text
