import importlib

import numpy as np
import pytest

from blockmill.shared.errors import BlockError, JobError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.operations.python import PythonFunction
from blockmill.workers.kernels import BlockContext, kernel_for

STEPS = """
import numpy as np
seen = []
def plus(block, n=1): return block + block.dtype.type(n)
def spoils(block, table):
    table.append(1)
    return np.full_like(block, len(table))
def where(block, *, context):
    seen.append(context)
    return block
def swallows(block, **rest):
    seen.append(rest)
    return block
def bright(block): return block > 3
def smaller(block): return block[1:]
def nothing(block): pass
def fails(block): raise KeyError("mine")
class Steps:
    @staticmethod
    def double(block): return block * 2
number = 5
"""
CONTEXT = BlockContext(Roi((0, 4), (3, 9)), Roi((0, 5), (2, 8)), (30, 40), "yx")
BLOCK = np.arange(15, dtype=np.uint8).reshape(3, 5)


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """A module of a user's own, importable under a name that no other test has."""
    name = f"steps_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(STEPS)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module(name)


def run(steps, function, **parameters):
    return kernel_for(PythonFunction(function=f"{steps.__name__}:{function}", **parameters))(
        BLOCK.copy(), CONTEXT
    )


def test_the_function_gets_the_block_with_halo_and_the_kept_part_is_returned(steps):
    np.testing.assert_array_equal(run(steps, "plus", args={"n": 3}), (BLOCK + 3)[0:2, 1:4])


def test_a_function_may_be_inside_of_a_class_or_of_an_extension(steps):
    np.testing.assert_array_equal(run(steps, "Steps.double"), (BLOCK * 2)[0:2, 1:4])
    root = kernel_for(PythonFunction(function="numpy:sqrt", dtype="float16"))(BLOCK, CONTEXT)
    np.testing.assert_array_equal(root, np.sqrt(BLOCK)[0:2, 1:4])


def test_a_function_that_asks_is_told_where_it_is(steps):
    run(steps, "where")
    run(steps, "swallows", args={"x": 1})
    assert steps.seen == [CONTEXT, {"x": 1}]


def test_what_a_function_does_to_its_arguments_does_not_reach_the_next_block(steps):
    kernel = kernel_for(PythonFunction(function=f"{steps.__name__}:spoils", args={"table": [0]}))
    assert kernel(BLOCK, CONTEXT).max() == kernel(BLOCK, CONTEXT).max() == 2


def test_a_result_of_another_dtype_is_refused_unless_announced(steps):
    with pytest.raises(BlockError) as caught:
        run(steps, "bright")
    assert str(caught.value) == (
        f"function {steps.__name__}:bright returned bool; uint8 is expected: convert the result, "
        "or write dtype: bool in the job's operation"
    )
    assert run(steps, "bright", dtype="bool").dtype == bool


@pytest.mark.parametrize(
    ("function", "text"),
    [
        ("smaller", r"smaller returned an array of shape \(2, 5\); \(3, 5\) is expected"),
        ("nothing", r"nothing returned a NoneType; an array of shape \(3, 5\) is expected"),
    ],
)
def test_a_result_that_is_no_such_block_is_refused(steps, function, text):
    with pytest.raises(BlockError, match=text):
        run(steps, function)


def test_what_the_function_raises_is_not_hidden(steps):
    with pytest.raises(KeyError, match="mine"):
        run(steps, "fails")


@pytest.mark.parametrize(
    ("function", "text"),
    [
        ("no_such_module:f", "no module no_such_module can be imported in the workers; name the folder"),
        ("{steps}:no_such", "there is no no_such in .*py"),
        ("{steps}:Steps.no_such", "there is no no_such in "),
        ("{steps}:number", "it is of type int, no function"),
    ],
)
def test_a_function_that_is_not_there_is_a_mistake_of_the_job(steps, function, text):
    with pytest.raises(JobError, match=text):
        kernel_for(PythonFunction(function=function.format(steps=steps.__name__)))


def test_a_masked_array_is_refused_or_filled(steps):
    steps.masked = lambda block: np.ma.masked_less(block, 5)
    with pytest.raises(BlockError, match="5 voxels are masked"):
        run(steps, "masked")
    np.testing.assert_array_equal(
        run(steps, "masked", fill_masked=9), np.where(BLOCK < 5, 9, BLOCK)[0:2, 1:4].astype("u1")
    )
    steps.masked = lambda block: np.ma.masked_less(block, 0)
    np.testing.assert_array_equal(run(steps, "masked"), BLOCK[0:2, 1:4])


def test_the_byte_order_of_a_result_does_not_matter(steps):
    steps.swapped = lambda block: (block.astype("u2") * 257).astype(">u2")
    result = run(steps, "swapped", dtype="uint16")
    assert result.dtype == np.dtype("u2")
    assert result.dtype.isnative
    np.testing.assert_array_equal(result, (BLOCK.astype("u2") * 257)[0:2, 1:4])
