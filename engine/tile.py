"""Changes of order in memory: a tile of 16 x 16 float32 transposed, a row reversed. Knows nothing of what they mean.

LLVM vectorises loops over neighbours, but leaves these scalar, one load and one store a number. Written as LLVM
vectors of 16 a transposition is 64 shuffles, in one AVX-512 register each, in two of AVX or four of SSE and NEON.
"""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

SIDE = 16

_ROW = ir.VectorType(ir.FloatType(), SIDE)
_REVERSED = ir.Constant(ir.VectorType(ir.IntType(32), SIDE), list(range(SIDE))[::-1])
_LOW = ir.Constant(ir.VectorType(ir.IntType(32), SIDE), [i // 2 + SIDE * (i % 2) for i in range(SIDE)])
_HIGH = ir.Constant(ir.VectorType(ir.IntType(32), SIDE), [SIDE // 2 + i // 2 + SIDE * (i % 2) for i in range(SIDE)])


@intrinsic
def transpose_tile(typingctx, array, src, src_stride, dst, dst_stride):  # type: ignore[no-untyped-def]
    """array[dst + j * dst_stride + i] = array[src + i * src_stride + j] for i, j < 16: inside kernels only.

    array: contiguous float32, flat. Everything is read before anything is written; no index is checked.

    Row i is interleaved with row i + 8, giving rows 2i and 2i + 1; done four times, a number's index (i, j) has been
    rotated by four of its eight bits: it is (j, i).
    Source: the perfect shuffle of Stone 1971, "Parallel processing with the perfect shuffle".
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        src, src_stride, dst, dst_stride = args[1:]
        rows = []
        for _ in range(SIDE):
            rows.append(builder.load(_row(context, builder, signature, args, src), align=4))
            src = builder.add(src, src_stride)
        for _ in range(4):
            pairs = list(zip(rows[: SIDE // 2], rows[SIDE // 2 :], strict=True))
            rows = [builder.shuffle_vector(a, b, mask) for a, b in pairs for mask in (_LOW, _HIGH)]
        for row in rows:
            builder.store(row, _row(context, builder, signature, args, dst), align=4)
            dst = builder.add(dst, dst_stride)
        return context.get_dummy_value()

    return _signature(array, 4), codegen


@intrinsic
def reverse_row(typingctx, array, src, dst):  # type: ignore[no-untyped-def]
    """array[dst + i] = array[src + 15 - i] for i < 16: inside kernels only. array: contiguous float32, flat."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        row = builder.load(_row(context, builder, signature, args, args[1]), align=4)
        row = builder.shuffle_vector(row, row, _REVERSED)
        builder.store(row, _row(context, builder, signature, args, args[2]), align=4)
        return context.get_dummy_value()

    return _signature(array, 2), codegen


def _signature(array: types.Type, indices: int) -> Any:
    """Of a function of a flat float32 array and some indices; None, which numba reports, for anything else."""
    if isinstance(array, types.Array) and array.dtype == types.float32 and array.ndim == 1 and array.layout == "C":
        return types.void(array, *[types.uintp] * indices)
    return None


def _row(context: Any, builder: ir.IRBuilder, signature: Any, args: Any, at: ir.Value) -> ir.Value:
    """Address of the 16 numbers from `array[at]` on."""
    data = make_array(signature.args[0])(context, builder, args[0]).data
    return builder.bitcast(builder.gep(data, [at]), _ROW.as_pointer())
