"""What holds for the kernel of every operation."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from blockmill.shared.errors import JobError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.operations.base import Operation, peak_bytes
from blockmill.shared.operations.copy import Copy
from blockmill.shared.operations.gaussian import Gaussian
from blockmill.shared.operations.median import Median
from blockmill.shared.operations.python import PythonFunction
from blockmill.shared.operations.threshold import Threshold
from blockmill.workers.kernels import BlockContext, crop, kernel_for

CONTEXT = BlockContext(Roi((2, 3), (7, 9)), Roi((3, 5), (6, 8)), (20, 20), "yx")
ALL = [
    Copy(),
    Copy(dtype="float64"),
    Copy(dtype="int8", clip=True),
    Gaussian(sigma=1),
    Gaussian(sigma=0),
    Gaussian(sigma=(0, 1)),
    Threshold(above=100),
    Threshold(at_least=3, at_most=99),
    Median(size=3),
    PythonFunction(function="numpy:negative"),
]


def test_crop_gives_what_is_kept():
    block = np.arange(30).reshape(5, 6)
    np.testing.assert_array_equal(crop(block, CONTEXT), block[1:4, 2:5])


@pytest.mark.parametrize("operation", ALL, ids=str)
@pytest.mark.parametrize("dtype", ["uint8", ">u2", "float32"])
def test_a_kernel_gives_the_kept_voxels_in_the_promised_dtype(operation, dtype):
    block = np.arange(30).reshape(5, 6).astype(dtype)
    result = kernel_for(operation)(block, CONTEXT)
    assert result.shape == CONTEXT.roi.shape
    assert result.dtype == operation.output_dtype(block.dtype)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_smoothing_works_in_the_memory_of_the_block(dtype):
    block = np.ones((5, 6), dtype)
    assert np.shares_memory(kernel_for(Gaussian(sigma=1))(block, CONTEXT), block)


@pytest.mark.parametrize("operation", ALL, ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_kernel_stays_within_the_memory_that_is_promised(operation, dtype):
    shape, full_roi = (200, 100, 100), Roi.from_shape((200, 100, 100))
    if isinstance(operation, Gaussian) and isinstance(operation.sigma, tuple):
        operation = Gaussian(sigma=(0, 1, 2))
    block, kernel = np.ones(shape, dtype), kernel_for(operation)
    tracemalloc.start()
    try:
        kernel(block, BlockContext(full_roi, full_roi, shape, "zyx"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert block.nbytes + peak <= peak_bytes(operation, shape, block.dtype)


def test_a_kernel_that_is_not_there_is_told_of():
    class Other(Operation):
        name = "other"
        kernel = "no.such.module:kernel"

        def output_dtype(self, dtype):
            return dtype

    with pytest.raises(JobError, match=r"other: its kernel no\.such\.module:kernel can't be imported"):
        kernel_for(Other())


@pytest.mark.parametrize(("operation", "needed"), [("'copy'", False), ("{'gaussian': {'sigma': 1}}", True)])
def test_scipy_is_loaded_by_who_needs_it(operation, needed):
    code = (
        "import sys; from blockmill.shared.operations.registry import parse_operation; "
        "from blockmill.workers.kernels import kernel_for; "
        f"kernel_for(parse_operation({operation})); print('scipy' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == str(needed)
