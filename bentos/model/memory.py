"""Reading at an address from compiled code. Numba counts references to an array at every call that takes one, which
costs more than a few bytes' reading: a kernel that walks bytes passes addresses, and keeps within bounds itself."""

# mypy: disable-error-code="untyped-decorator,no-untyped-call"
from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_BYTE, _WORD = ir.IntType(8), ir.IntType(64)


@intrinsic
def byte_at(_typing: Any, _address: Any) -> Any:
    """The byte at an address, as int64."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.zext(builder.load(builder.inttoptr(arguments[0], _BYTE.as_pointer())), _WORD)

    return types.int64(types.int64), generate


@intrinsic
def big_endian_at(_typing: Any, _address: Any) -> Any:
    """The eight bytes at an address, the first being the highest, as int64."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = builder.load(builder.inttoptr(arguments[0], _WORD.as_pointer()), align=1)
        return builder.bswap(word)

    return types.int64(types.int64), generate


@intrinsic
def as_float(_typing: Any, _bits: Any) -> Any:
    """An int64's bits as float64."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate
