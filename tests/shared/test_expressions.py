import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockmill.shared.errors import JobError
from blockmill.shared.expressions import MAX_TEXT, dtype_from, evaluate


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7*6", 42),
        ("20*60", 1200),
        ("[ 4150-2917, 135424, 119808 ]", [1233, 135424, 119808]),
        ("(0.0, 1.0)", (0.0, 1.0)),
        ("-3", -3),
        ("- (2 + 3) * 4", -20),
        ("7 // 2", 3),
        ("7 / 2", 3.5),
        ("7 % 4", 3),
        ("2**10", 1024),
        ("2**-1", 0.5),
        ("[64]*3", [64, 64, 64]),
        ("2*(1, 2)", (1, 2, 1, 2)),
        ("[1] + [2, 3]", [1, 2, 3]),
        ("[[0, 0], [3, 4]]", [[0, 0], [3, 4]]),
        ("  5  ", 5),
        ("1e3", 1000.0),
        ("0x10", 16),
    ],
)
def test_arithmetic_and_lists_are_worked_out(text, value):
    result = evaluate(text)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("uint8", "u1"),
        ("numpy.uint8", "u1"),
        ("np.float32", "f4"),
        ("numpy.dtype('<u2')", "<u2"),
        ("numpy.dtype('>u2')", ">u2"),
        ('numpy.dtype("float32")', "f4"),
        ("numpy.dtype(numpy.int16)", "i2"),
        ("object", "O"),
        ("bool", "?"),
        ("numpy.bool_", "?"),
        ("numpy.bool", "?"),
        ("float", "f8"),
        ("int", "i8"),
        ("complex64", "c8"),
    ],
)
def test_dtype_names_become_dtypes(text, dtype):
    assert evaluate(text) == np.dtype(dtype)
    assert dtype_from(text) == np.dtype(dtype)


def test_bare_dtype_codes_are_read_where_a_dtype_is_expected():
    assert dtype_from("<u2") == np.dtype("<u2")
    assert dtype_from("bool_") == np.dtype(bool)
    assert dtype_from("f4") == np.dtype("f4")


@pytest.mark.parametrize("value", ["7*6", "S5", "M8", "U3", "nonsense", 5, None, ["u1"], "u1,u2", "V8"])
def test_what_names_no_usable_dtype_is_refused(value):
    with pytest.raises(JobError):
        dtype_from(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "__import__('os').system('true')",
        "numpy.load('x')",
        "numpy.dtype('S5')",
        "numpy.dtype('u1', align=True)",
        "numpy.dtype('u1,u2')",
        "numpy.array([1, 2])",
        "().__class__",
        "open",
        "lambda: 1",
        "[x for x in (1, 2)]",
        "'text'",
        "True",
        "None",
        "1 if 1 else 2",
        "{1: 2}",
        "{1}",
        "1 < 2",
        "1 and 2",
        "~1",
        "1 << 9999999",
        "9**9**9",
        "2**100000000",
        "(-1)**0.5",
        "1e308*10",
        "1e999",
        "1j",
        "1/0",
        "1%0",
        "0**-1",
        "10.0**400",
        "[0]*100000000",
        "[[0]*1000]*1000",
        "[1]-[1]",
        "[1]*1.5",
        "uint8*2",
        "1; 2",
        "1\n2",
        "x := 3",
        "*a",
        "f''",
        "\0",
        "\ud800",
        "9" * 1000,
        "9" * (MAX_TEXT + 1),
        "(" * 1000 + "1" + ")" * 1000,
        "(" * 150 + "1" + ")" * 150 + "+",
        "-" * 4000 + "1",
        "[" * 90 + "]" * 90,
        "1+" * 2000 + "1",
        "1," * 2000,
        "a" + ".b" * 2000,
        "1" + "()" * 2000,
    ],
)
def test_anything_else_is_a_clear_error(text):
    with pytest.raises(JobError) as caught:
        evaluate(text)
    assert 10 < len(str(caught.value)) < 400


def test_what_is_no_text_is_refused():
    with pytest.raises(JobError):
        evaluate(5)  # pyright: ignore[reportArgumentType]


TOKENS = "1 23 0.5 1e9 ( ) [ ] , + - * / // % ** numpy . np dtype uint8 '<u2' __class__ lambda : = if {"
PIECES = st.sampled_from([*TOKENS.split(), " "])


@settings(deadline=None, max_examples=400)
@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=25).map("".join)))
def test_any_text_gives_a_plain_value_or_the_error(text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python itself may warn about odd literals
        try:
            value = evaluate(text)
        except JobError:
            return
    assert isinstance(value, int | float | list | tuple | np.dtype)


@given(
    st.recursive(
        st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False),
        st.lists,
        max_leaves=20,
    )
)
def test_the_text_of_plain_numbers_and_lists_gives_them_back(value):
    assert evaluate(repr(value)) == value
