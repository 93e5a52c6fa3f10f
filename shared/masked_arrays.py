"""The test for masked arrays, without the import of numpy.ma.

numpy imports it late, and who uses files as another user may not be able to enter numpy's folder then.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    import numpy as np


def is_masked(array: object) -> TypeGuard[np.ma.MaskedArray[Any, Any]]:
    """Test if something is a masked array; there are none as long as nobody has imported numpy.ma."""
    module = sys.modules.get("numpy.ma")
    return module is not None and isinstance(array, module.MaskedArray)
