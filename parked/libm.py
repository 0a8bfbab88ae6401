"""Elementary functions over arrays as the C library has them.

numpy takes ``exp`` and ``log`` of many values another way where the processor has AVX-512, and their last bits differ
then. What has to be the same on every machine goes through these (``math`` for one value), which are of the C library
for each value.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Array = npt.NDArray[np.float64]


def exp(x: Array) -> Array:
    """``math.exp`` of each value; float64 of any one shape. What is too large is inf.

    >>> exp(np.array([[0.0, 1.0], [-np.inf, 1e3]]))
    array([[1.        , 2.71828183],
           [0.        ,        inf]])
    """
    of_each = pc.exp(pa.array(x.ravel()))
    return np.asarray(of_each.to_numpy(zero_copy_only=False, writable=True).reshape(x.shape))
