"""Ask for memory before it is needed. Knows addresses; changes nothing that is computed.

The records of many streams do not stay in a core's cache: while one stream is heard, the next one's record is fetched.
"""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from engine.jit import Record, kernel

CACHE_LINE = 64  # bytes, on every CPU that we know of; with another length it is slower, nothing else


@kernel
def prefetch(record: Record, first: int, count: int) -> None:
    """Begin to load `count` bytes of a record, from byte `first` on."""
    for at in range(first, first + count, CACHE_LINE):
        _prefetch_line(record, at)


@intrinsic
def _prefetch_line(context: Any, record: types.Record, at: types.Integer) -> Any:
    """llvm.prefetch of the cache line `at` bytes into the record: for reading, to the nearest cache."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        ask = builder.module.declare_intrinsic(
            "llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        )
        line = builder.gep(builder.bitcast(arguments[0], byte), [arguments[1]])
        reading, nearest, data = number(0), number(3), number(1)
        builder.call(ask, [line, reading, nearest, data])
        return context.get_dummy_value()

    return types.void(record, at), generate
