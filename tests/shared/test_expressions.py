import contextlib
import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockmill.shared.errors import JobError
from blockmill.shared.expressions import MAX_ITEMS, MAX_NODES, MAX_TEXT, dtype_from, evaluate


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7*6", 42),
        ("20*60", 1200),
        ("[ 4150-2917, 135424, 119808 ]", [1233, 135424, 119808]),
        ("(0.0, 1.0)", (0.0, 1.0)),
        ("-3", -3),
        ("+3", 3),
        ("[+1.5, -+-2]", [1.5, 2]),
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
        ("numpy.array([60, 60, 2*30])", [60, 60, 60]),
        ("np.asarray((1, 2.5))", [1, 2.5]),
        ("[numpy.array([1, 2]), np.array([3, 4])]", [[1, 2], [3, 4]]),
        ("max(3, 7, 5)", 7),
        ("min([4, 2.5])", 2.5),
        ("[abs(-3), int(7.9), round(2.6)]", [3, 7, 3]),
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
        ("numpy.int_", "i8"),
        ("numpy.double", "f8"),
        ("numpy.single", "f4"),
        ("numpy.half", "f2"),
        ("numpy.float_", "f8"),
        ("numpy.uint", "u8"),
        ("numpy.ubyte", "u1"),
        ("numpy.longlong", "i8"),
        ("np.cdouble", "c16"),
    ],
)
def test_dtype_names_become_dtypes(text, dtype):
    assert evaluate(text) == np.dtype(dtype)
    assert dtype_from(text) == np.dtype(dtype)


def test_bare_dtype_codes_are_read_where_a_dtype_is_expected():
    assert dtype_from("<u2") == np.dtype("<u2")
    assert dtype_from("bool_") == np.dtype(bool)
    assert dtype_from("f4") == np.dtype("f4")
    assert dtype_from("'uint8'") == dtype_from(' "<u1" ') == np.dtype("u1")


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
        "numpy.array([1, 2]) * 2",
        "numpy.array([1]) + [2]",
        "numpy.array(3)",
        "numpy.array([1], dtype=int)",
        "numpy.zeros(3)",
        "max()",
        "max('a', 'b')",
        "max([1], [2])",
        "max([])",
        "int(1, 2)",
        "int('7')",
        "abs(*[1])",
        "round(5, -10**9)",
        "sum([1, 2])",
        "numpy.max([1, 2])",
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
        "+[1]",
        "+uint8",
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


NASTY = [
    "numpy.__class__",
    "numpy.uint8.__class__.__mro__",
    "().__class__.__bases__[0].__subclasses__()",
    '"a"*10**9',
    "'%s' % 5",
    "[0 for x in ()]",
    "lambda: 1",
    "f'{1}'",
    "f'{__import__(\"os\").getpid()}'",
    "9**9**9",
    "-9**9**9",
    "(2**255)**(2**255)",
    "1.5**99999999**9",
    "*".join(["9" * 70] * 50),
    "9" * 4000,
    "0x" + "f" * 4000,
    "[[[1]*1000]*1000]*1000",
    "([1]*1024,)*1024",
    "[1]*-1*9999999999",
    "+" * 4000 + "1",
    "+-" * 2000 + "1",
    "not " * 1000 + "1",
    "await 1",
    "yield",
    "1\0",
    "\udcff",
    "[" * 4000,
    "(" * 4000,
    "{" * 100 + "}" * 100,
    "numpy.dtype(" * 300 + "'u1'" + ")" * 300,
    "numpy" + ".dtype" * 500,
    "open('/nowhere')",
    "exec('1')",
    "breakpoint()",
    "\u2028",
    "\uff11",
    "numpy.dtype('i99999999999999')",
    "numpy.dtype('f4294967296')",
]


def parts(value):
    return 1 + sum(map(parts, value)) if isinstance(value, list | tuple) else 1


FORMS = (
    "{0}**{1}|{0}*{1}|[{0}]*{1}|({0},)*{1}|{0}+{1}|{0}//{1}|{0}%{1}|+{0}|-{0}|~{0}|[{0},{1}]|{0}.__class__|"
    "{0}({1})|{0}[{1}]|lambda:{0}|[{0} for x in {1}]|f'{{{0}}}'|'{0}'*{1}|{0} if {1} else 1|{0}<{1}|"
    "numpy.dtype({0})|(x:={0})"
)


def combined(inner):
    """Expressions in expressions, of all the kinds that Python has and few that are allowed."""
    return st.builds(lambda form, a, b: form.format(a, b), st.sampled_from(FORMS.split("|")), inner, inner)


@settings(deadline=None, max_examples=400)
@given(
    st.recursive(
        st.sampled_from(["9", "1024", "-1", "0", "1e308", "[7]", "'a'", "uint8", "numpy", "'<u2'", "x"]),
        combined,
        max_leaves=12,
    )
)
def test_whatever_stands_in_whatever_gives_a_bounded_value_or_the_error(text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for read in (evaluate, dtype_from):
            with contextlib.suppress(JobError):
                assert parts(read(text)) <= MAX_NODES * MAX_ITEMS


@pytest.mark.parametrize("digits", [70, 4300, 5000])
def test_what_can_hardly_be_shown_is_refused_as_well(digits):
    for value in (10**digits, [10**digits]):
        with pytest.raises(JobError):
            dtype_from(value)


def test_nasty_texts_run_no_code_and_take_neither_time_nor_memory():
    script = """if True:
        import json, resource, sys, warnings
        from blockmill.shared.errors import JobError
        from blockmill.shared.expressions import dtype_from, evaluate
        warnings.simplefilter("ignore")
        texts = json.load(sys.stdin)
        evaluate("[numpy.dtype('<u2'), 1 + 1]")

        def watch(event, args):
            if watching and event in ("exec", "import", "open", "os.system", "builtins.breakpoint"):
                print("ran", event, args, flush=True)

        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**28,) * 2)
        resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
        watching = False
        sys.addaudithook(watch)
        watching = True
        for text in texts:
            for read in (evaluate, dtype_from):
                try:
                    print("value of", ascii(text)[:80], ascii(read(text))[:80])
                except JobError:
                    pass
        watching = False
        print("end")
    """
    done = subprocess.run(
        [sys.executable, "-c", script], input=json.dumps(NASTY), capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["value of '[1]*-1*9999999999' []", "end"]
