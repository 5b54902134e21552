"""What the hot loops need and Numba does not offer: a register-blocked multiply-add, and a prefetch.

Each logit is one chain of multiply-adds over the hidden units in their order, whatever rows, heads and threads stand
beside it: a number's bits then depend on nothing but the row, the head and the model. No BLAS promises that.
"""

import platform
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_FEATURES = binding.get_host_cpu_features()
_IS_WIDE = bool(_FEATURES.get("avx512f"))
LANES = 16 if _IS_WIDE else 8
"""Floats in a vector: 32 registers of 16 with AVX-512, 16 registers of 8 with AVX2; Arm splits 8 into two."""
ROWS, COLUMNS = (12, 2 * LANES) if _IS_WIDE else (6, 2 * LANES)
"""A tile of the product: its sums, two vectors of weights and one of a row's value just fill the registers."""
_FUSED = bool(_FEATURES.get("fma")) or platform.machine() in ("arm64", "aarch64")

_FLOAT, _INT, _INT32 = ir.FloatType(), ir.IntType(64), ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, LANES)


def _at(number: int) -> ir.Constant:
    return ir.Constant(_INT, number)


def _multiply_add(builder: Any, kind: Any, suffix: str, *arguments: Any) -> Any:
    """Return a * b + c, rounded once where the processor can do that; emulating that is far slower."""
    if not _FUSED:
        a, b, c = arguments
        return builder.fadd(builder.fmul(a, b), c)
    signature = ir.FunctionType(kind, [kind] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, f"llvm.fma.{suffix}"), arguments)


def _array(context: Any, builder: Any, signature: Any, arguments: Any, number: int) -> Any:
    return context.make_array(signature.args[number])(context, builder, arguments[number])


def _vector(builder: Any, pointer: Any, offset: int) -> Any:
    """Return where in memory the vector ``offset`` floats behind a pointer stands."""
    return builder.bitcast(builder.gep(pointer, [_at(offset)]), _VECTOR.as_pointer())


def _load(builder: Any, pointer: Any, offset: int) -> Any:
    value = builder.load(_vector(builder, pointer, offset))
    value.align = 4
    return value


def _spread(builder: Any, scalar: Any) -> Any:
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    one = builder.insert_element(undefined, scalar, ir.Constant(_INT32, 0))
    return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES))


@intrinsic
def product(typing: Any, packed: Any, weights: Any, bias: Any, tile: Any) -> Any:
    """Set tile = bias + packed.T @ weights: float32 (H, ROWS), (H, COLUMNS), (COLUMNS,) → (ROWS, COLUMNS); H may be 0.

    All are C-contiguous.
    """
    places = [(row, half * LANES) for row in range(ROWS) for half in range(COLUMNS // LANES)]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, columns, first, sums = (_array(context, builder, signature, arguments, number) for number in range(4))
        depth = cgutils.unpack_tuple(builder, rows.shape)[0]
        halves = {column: _load(builder, first.data, column) for column in range(0, COLUMNS, LANES)}
        start = [halves[column] for _, column in places]
        before, loop, done = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.cbranch(builder.icmp_signed(">", depth, _at(0)), loop, done)

        builder.position_at_end(loop)
        unit = builder.phi(_INT)
        totals = [builder.phi(_VECTOR) for _ in places]
        row_data = builder.gep(rows.data, [builder.mul(unit, _at(ROWS))])
        column_data = builder.gep(columns.data, [builder.mul(unit, _at(COLUMNS))])
        halves = {column: _load(builder, column_data, column) for column in range(0, COLUMNS, LANES)}
        added = []
        for number, (row, column) in enumerate(places):
            if column == 0:
                value = _spread(builder, builder.load(builder.gep(row_data, [_at(row)])))
            added.append(_multiply_add(builder, _VECTOR, f"v{LANES}f32", value, halves[column], totals[number]))
        following = builder.add(unit, _at(1))
        unit.add_incoming(_at(0), before)
        unit.add_incoming(following, loop)
        for total, first, new in zip(totals, start, added, strict=True):
            total.add_incoming(first, before)
            total.add_incoming(new, loop)
        builder.cbranch(builder.icmp_signed("<", following, depth), loop, done)

        builder.position_at_end(done)
        results = [builder.phi(_VECTOR) for _ in places]
        for result, first, new in zip(results, start, added, strict=True):
            result.add_incoming(first, before)
            result.add_incoming(new, loop)
        for (row, column), result in zip(places, results, strict=True):
            stored = builder.store(result, _vector(builder, sums.data, row * COLUMNS + column))
            stored.align = 4
        return context.get_dummy_value()

    return types.void(packed, weights, bias, tile), generate


@intrinsic
def copy_tile(typing: Any, tile: Any, out: Any, row: Any, column: Any) -> Any:
    """Set out[row : row + ROWS, column : column + COLUMNS] = tile; both float32 and C-contiguous, all of it inside."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, target = (_array(context, builder, signature, arguments, number) for number in range(2))
        place, width = _place(builder, target, *arguments[2:])
        for number in range(ROWS):
            for half in range(0, COLUMNS, LANES):
                value = _load(builder, source.data, number * COLUMNS + half)
                builder.store(value, _vector(builder, place, half)).align = 4
            place = builder.gep(place, [width])
        return context.get_dummy_value()

    return types.void(tile, out, types.int64, types.int64), generate


@intrinsic
def keep_lowest(typing: Any, tile: Any, lowest: Any, row: Any) -> Any:
    """Set lowest[row : row + ROWS] = the smaller of it and tile, element by element; both have COLUMNS columns."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, target = (_array(context, builder, signature, arguments, number) for number in range(2))
        place, _ = _place(builder, target, arguments[2], _at(0))
        for offset in range(0, ROWS * COLUMNS, LANES):
            new, old = _load(builder, source.data, offset), _load(builder, place, offset)
            smaller = builder.select(builder.fcmp_ordered("<", new, old), new, old)
            builder.store(smaller, _vector(builder, place, offset)).align = 4
        return context.get_dummy_value()

    return types.void(tile, lowest, types.int64), generate


@intrinsic
def lanes_below(typing: Any, matrix: Any, row: Any, column: Any, limit: Any) -> Any:
    """Return a mask of the COLUMNS numbers from matrix[row, column] on: bit j is set where the j-th is <= limit."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place, _ = _place(builder, _array(context, builder, signature, arguments, 0), *arguments[1:3])
        bound, mask = _spread(builder, arguments[3]), _at(0)
        for offset in range(0, COLUMNS, LANES):
            flags = builder.fcmp_ordered("<=", _load(builder, place, offset), bound)
            bits = builder.zext(builder.bitcast(flags, ir.IntType(LANES)), _INT)
            mask = builder.or_(mask, builder.shl(bits, _at(offset)))
        return mask

    return types.int64(matrix, types.int64, types.int64, types.float32), generate


@intrinsic
def lowest_bit(typing: Any, mask: Any) -> Any:
    """Return the number of the lowest bit that is set in a mask, which is not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


@intrinsic
def multiply_add(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c in float32, rounded as ``product`` rounds."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _multiply_add(builder, _FLOAT, "f32", *arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


def _prefetch(builder: Any, place: Any, for_writing: bool) -> None:
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, _INT32, _INT32, _INT32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    access, keep, data = (ir.Constant(_INT32, number) for number in (int(for_writing), 3, 1))
    builder.call(function, [builder.bitcast(place, byte), access, keep, data])


def _place(builder: Any, matrix: Any, row: Any, column: Any) -> tuple[Any, Any]:
    """Return the pointer to matrix[row, column], and how many columns the matrix has."""
    width = cgutils.unpack_tuple(builder, matrix.shape)[1]
    return builder.gep(matrix.data, [builder.add(builder.mul(row, width), column)]), width


@intrinsic
def prefetch(typing: Any, matrix: Any, row: Any, column: Any) -> Any:
    """Ask for the cache line of matrix[row, column], float32 and C-contiguous, without waiting for it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place, _ = _place(builder, _array(context, builder, signature, arguments, 0), *arguments[1:])
        _prefetch(builder, place, for_writing=False)
        return context.get_dummy_value()

    return types.void(matrix, types.int64, types.int64), generate


@intrinsic
def prefetch_tile(typing: Any, out: Any, row: Any, column: Any) -> Any:
    """Ask for the lines that ``copy_tile`` will write: stores leave a core in order, and a miss holds all others up."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place, width = _place(builder, _array(context, builder, signature, arguments, 0), *arguments[1:])
        for _ in range(ROWS):
            for column in range(0, COLUMNS, 16):
                _prefetch(builder, builder.gep(place, [_at(column)]), for_writing=True)
            place = builder.gep(place, [width])
        return context.get_dummy_value()

    return types.void(out, types.int64, types.int64), generate


def panels(matrix: np.ndarray) -> np.ndarray:
    """Return float32 (panels, H, COLUMNS) of a matrix (H, M): its columns in groups of COLUMNS, zeros at the end."""
    depth, count = matrix.shape
    groups = -(-count // COLUMNS)
    padded = np.zeros((depth, groups * COLUMNS), np.float32)
    padded[:, :count] = matrix
    return np.ascontiguousarray(padded.reshape(depth, groups, COLUMNS).transpose(1, 0, 2))
