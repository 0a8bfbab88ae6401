"""How the kernel is compiled: cached, without the interpreter's lock, division by zero as the processor has it.

On the hot path kernel functions take records (plain pointers) and numbers, not arrays: numba counts references to
array arguments with atomic instructions and passes seven words for each, which cost three times the work itself.
"""

from __future__ import annotations

from functools import partial

import numba

njit = partial(numba.njit, cache=True, nogil=True, error_model="numpy")
"""``error_model="numpy"``: no kernel divides by zero, and Python's checks for it would cost more than the work."""

inlined = partial(njit, forceinline=True)
"""For what every record passes through and is called in one place: a call spills what it passes."""
