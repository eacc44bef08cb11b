"""Register tiling (register blocking): the operations on a tile of C held in vector registers.

    tile = zeros(C, 6, 4, 0)                              6 rows of 4 registers, all 0
    rows = addresses(tile, at(A, 0, k), i, m)             where A[i, k], A[i + 1, k], ... lie
    tile = multiply_add(tile, rows, offset, b, width)     += six elements of A times a row of B
    store(tile, addresses(tile, at(C, 0, j), i, m), width)

In plain Numba loops the compiler decides what is kept in a register, and it keeps too little: the
`tiled` rung loads and stores C for every fourth step of k. A `Tile` is a Numba type of our own, an
array of LLVM vectors. Its operations are straight-line LLVM code, unrolled by the Python loops
below while Numba compiles; the loops over k, i and j stay Numba code. `simd`, `sparse`, the fused
epoch and the implicit GEMM are all made of these.

`width` is the number of columns that exist. A tile reads and writes its last `ragged` vectors by
masked loads and stores, so that columns past `width` are not touched. Rows past the last one,
m - 1, repeat it: they compute the same numbers and store them to the same place.
"""

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

from scratchnet.kernels.jit import processor

INT, LANE = ir.IntType(64), ir.IntType(32)


def _vector_bytes_and_tile():
    """The size of a vector register, and the tile (rows, vectors) that fills the registers.

    A tile of rows x vectors does rows * vectors fused multiply-adds (FMA) for rows + vectors loads.
    It must leave registers for one row of B and one element of A, and have at least 8 sums in
    flight: an FMA has a latency of 4 cycles, and a core issues two in each.
    """
    triple, _, features = processor()
    features = features.split(",")
    if "+avx512f" in features:
        return 64, (6, 4)  # 24 of 32 registers
    if "+avx2" in features and "+fma" in features:
        return 32, (6, 2)  # 12 of 16
    if triple.startswith(("aarch64", "arm64")):
        return 16, (6, 4)  # 24 of 32
    return 16, (4, 2)  # 8 of 16: without FMA a product needs a register, too


VECTOR_BYTES, (ROWS, VECTORS) = _vector_bytes_and_tile()


class Tile(types.Type):
    """rows x vectors registers of `lanes` numbers each; the last `ragged` may lack some."""

    def __init__(self, dtype, rows, vectors, ragged):
        self.dtype, self.rows, self.vectors, self.ragged = dtype, rows, vectors, ragged
        self.bytes = dtype.bitwidth // 8
        self.lanes = VECTOR_BYTES // self.bytes
        super().__init__(f"Tile({dtype}, {rows}, {vectors}, {self.lanes}, {ragged})")


@register_model(Tile)
class _TileModel(models.PrimitiveModel):
    def __init__(self, manager, tile):
        super().__init__(manager, tile, ir.ArrayType(_vector(tile), tile.rows * tile.vectors))


class Addresses(types.Type):
    """One address for each row of a tile."""

    def __init__(self, rows):
        self.rows = rows
        super().__init__(f"Addresses({rows})")


@register_model(Addresses)
class _AddressesModel(models.PrimitiveModel):
    def __init__(self, manager, addresses):
        super().__init__(manager, addresses, ir.ArrayType(INT, addresses.rows))


@intrinsic(prefer_literal=True)
def zeros(typing, C, rows, vectors, ragged):
    """A tile of zeros for C's dtype; its shape is part of its type, so it must be a constant."""
    tile = Tile(C.dtype, rows.literal_value, vectors.literal_value, ragged.literal_value)

    return tile(C, rows, vectors, ragged), _build_zeros(tile)


def _build_zeros(tile):
    return lambda context, *_: ir.Constant(context.get_value_type(tile), None)


@intrinsic
def lanes(typing, X):
    """How many of X's numbers fill a register; a constant, as X.itemsize is not for LLVM."""
    number = ir.Constant(INT, VECTOR_BYTES * 8 // X.dtype.bitwidth)
    return types.intp(X), lambda *_: number


@intrinsic
def square(typing, C):
    """A tile as high as a vector is wide, for `transpose`."""
    lanes = VECTOR_BYTES * 8 // C.dtype.bitwidth
    tile = Tile(C.dtype, lanes, 1, 1)

    return tile(C), _build_zeros(tile)


@njit
def at(X, i, k):
    """Where X[i, k] lies, and how many bytes on the next row and the next column are.

    The place does not keep X alive: whoever uses it must hold X as well.
    """
    return _address(X, i, k), X.strides[0], X.strides[1]


@intrinsic
def _address(typing, X, i, k):
    def build(context, builder, signature, args):
        X, i, k = args
        array = context.make_array(signature.args[0])(context, builder, X)
        row_step, column_step = cgutils.unpack_tuple(builder, array.strides)
        offset = builder.add(builder.mul(i, row_step), builder.mul(k, column_step))
        return builder.add(builder.ptrtoint(array.data, INT), offset)

    return types.intp(X, types.intp, types.intp), build


@njit
def shifted(place, rows, columns):
    """The place so many rows and columns further on."""
    start, row_step, column_step = place
    return start + rows * row_step + columns * column_step, row_step, column_step


@intrinsic
def addresses(typing, tile, place, i, m):
    """Rows i, i + 1, ... of the m rows at `place`; for those past the last, the last again."""

    def build(context, builder, signature, args):
        _, place, i, m = args
        start, row_step = (builder.extract_value(place, n) for n in (0, 1))
        last = builder.sub(m, INT(1))
        found = ir.Constant(ir.ArrayType(INT, tile.rows), ir.Undefined)
        for r in range(tile.rows):
            row = builder.add(i, INT(r))
            row = builder.select(builder.icmp_signed("<", row, last), row, last)
            address = builder.add(start, builder.mul(row, row_step))
            # Else LLVM, seeing that the rows are evenly spaced, would compute each address from the
            # one before, a chain of additions as slow as the product.
            found = builder.insert_value(found, _opaque(builder, address), r)
        return found

    return Addresses(tile.rows)(tile, place, types.intp, types.intp), build


@intrinsic
def multiply_add(typing, tile, left, offset, right, width):
    """tile[r, :] += a[r] * b[:width], a[r] being `offset` bytes after left[r], and b at `right`.

    A's elements are read one by one and broadcast to a register, so A may have any strides; a row
    of B is read as it lies in memory, so it must be contiguous.
    """

    def build(context, builder, signature, args):
        sums, left, offset, right, width = args
        b = [_load(builder, tile, right, v, width) for v in range(tile.vectors)]
        for r in range(tile.rows):
            place = builder.add(builder.extract_value(left, r), offset)
            number = builder.load(builder.inttoptr(place, _number(tile).as_pointer()), align=1)
            a = _broadcast(builder, _vector(tile), number)
            for v in range(tile.vectors):
                n = r * tile.vectors + v
                total = _fma(builder, tile, a, b[v], builder.extract_value(sums, n))
                sums = builder.insert_value(sums, total, n)
        return sums

    return tile(tile, left, types.intp, types.intp, types.intp), build


@intrinsic
def opaque(typing, number):
    """The same number, opaque to LLVM: an optimization barrier, an empty piece of assembly.

    LLVM does not see where the number comes from, and moves no load across.
    """
    return types.intp(types.intp), lambda _, builder, signature, args: _opaque(builder, *args)


@intrinsic
def prefetch(typing, tile, rows):
    """Prefetch the cache lines of the tile at `rows`; harmless where no memory of ours lies."""

    def build(context, builder, signature, args):
        for _, start, v in _vectors(builder, tile, args[1]):
            # for writing (1), to the nearest cache (3), data and not instructions (1)
            place, how = _pointer(builder, tile, start, v), (LANE(1), LANE(3), LANE(1))
            _call(builder, "llvm.prefetch.p0", ir.VoidType(), [place, *how])
        return context.get_dummy_value()

    return types.none(tile, rows), build


@intrinsic
def load(typing, tile, rows, width):
    """The tile that lies in memory at `rows`."""

    def build(context, builder, signature, args):
        sums, rows, width = args
        for n, start, v in _vectors(builder, tile, rows):
            sums = builder.insert_value(sums, _load(builder, tile, start, v, width), n)
        return sums

    return tile(tile, rows, types.intp), build


@intrinsic
def plus(typing, tile, other):
    """tile + other."""

    def build(context, builder, signature, args):
        sums, others = args
        for n in range(tile.rows * tile.vectors):
            pair = builder.extract_value(sums, n), builder.extract_value(others, n)
            sums = builder.insert_value(sums, builder.fadd(*pair), n)
        return sums

    return tile(tile, tile), build


@intrinsic
def store(typing, tile, rows, width):
    """Write the tile to memory at `rows`."""

    def build(context, builder, signature, args):
        sums, rows, width = args
        for n, start, v in _vectors(builder, tile, rows):
            _store(builder, tile, builder.extract_value(sums, n), start, v, width)
        return context.get_dummy_value()

    return types.none(tile, rows, types.intp), build


@intrinsic
def transpose(typing, tile):
    """A square tile of one vector a row, with rows and columns exchanged."""

    def build(context, builder, signature, args):
        rows = [builder.extract_value(args[0], r) for r in range(tile.rows)]
        block = 1
        while block < tile.lanes:
            # In each square of four blocks exchange the two that lie off the diagonal.
            upper = [n + tile.lanes - block if n & block else n for n in range(tile.lanes)]
            lower = [n + tile.lanes if n & block else n + block for n in range(tile.lanes)]
            for r in range(tile.rows):
                if not r & block:
                    pair = rows[r], rows[r + block]
                    rows[r] = _shuffle(builder, *pair, upper)
                    rows[r + block] = _shuffle(builder, *pair, lower)
            block *= 2
        transposed = args[0]
        for r, row in enumerate(rows):
            transposed = builder.insert_value(transposed, row, r)
        return transposed

    return tile(tile), build


@intrinsic
def nonzeros(typing, tile, start, width):
    """Bit l is set if number l at `start` is not 0; for a tile of one vector."""

    def build(context, builder, signature, args):
        _, start, width = args
        numbers = _load(builder, tile, start, 0, width)
        found = builder.fcmp_unordered("!=", numbers, ir.Constant(_vector(tile), None))
        return builder.zext(builder.bitcast(found, ir.IntType(tile.lanes)), INT)

    return types.uint64(tile, types.intp, types.intp), build


@intrinsic
def mark_nonzeros(typing, tile, words, rows, k, last, width):
    """Set bit k + r % 64 in word l at `words` if number l of row r is not 0; one vector a row.

    Rows past `last` are `last` again, as `addresses` has them, and so are their bits.
    """

    def build(context, builder, signature, args):
        _, words, rows, k, last, width = args
        vector = ir.VectorType(INT, tile.lanes)
        place = builder.inttoptr(words, vector.as_pointer())
        marked = builder.load(place, align=1)
        for r in range(tile.rows):
            numbers = _load(builder, tile, builder.extract_value(rows, r), 0, width)
            found = builder.fcmp_unordered("!=", numbers, ir.Constant(_vector(tile), None))
            row = builder.add(k, INT(r))
            row = builder.select(builder.icmp_signed("<", row, last), row, last)
            bit = _broadcast(builder, vector, builder.shl(INT(1), builder.and_(row, INT(63))))
            marked = builder.select(found, builder.or_(marked, bit), marked)
        builder.store(marked, place, align=1)
        return context.get_dummy_value()

    return types.none(tile, words, rows, k, last, width), build


@intrinsic
def popcount(typing, word):
    """The number of bits that are set in `word`."""
    return types.intp(types.uint64), lambda _, builder, signature, args: builder.ctpop(*args)


@intrinsic
def lowest_bit(typing, word):
    """The number of the lowest bit that is set in `word`."""

    def build(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), True))

    return types.intp(types.uint64), build


def _opaque(builder, number):
    barrier = ir.InlineAsm(ir.FunctionType(INT, [INT]), "", "=r,0,~{memory}", side_effect=True)
    return builder.call(barrier, [number])


def _number(tile):
    return ir.FloatType() if tile.bytes == 4 else ir.DoubleType()


def _vector(tile):
    return ir.VectorType(_number(tile), tile.lanes)


def _call(builder, name, result, args):
    function = ir.FunctionType(result, [arg.type for arg in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), args)


def _fma(builder, tile, a, b, c):
    # fmuladd: one rounding where the processor has a fused multiply-add, and not a slow imitation
    # of one where it has not.
    name = f"llvm.fmuladd.v{tile.lanes}f{8 * tile.bytes}"
    return _call(builder, name, _vector(tile), [a, b, c])


def _broadcast(builder, vector, number):
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), number, LANE(0))
    return _shuffle(builder, first, first, [0] * vector.count)


def _shuffle(builder, a, b, lanes):
    """The numbers of a and b, counted through, that stand at `lanes`."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(LANE, len(lanes)), lanes))


def _vectors(builder, tile, rows):
    """Yield (number n in the tile, start of its row, number v in the row) of each vector."""
    for n in range(tile.rows * tile.vectors):
        r, v = divmod(n, tile.vectors)
        yield n, builder.extract_value(rows, r), v


def _pointer(builder, tile, start, v):
    """To vector v of the row that starts at `start`."""
    return builder.inttoptr(builder.add(start, INT(v * VECTOR_BYTES)), _vector(tile).as_pointer())


def _mask(builder, tile, v, width):
    """The lanes of vector v that are columns below `width`; None if all are, for certain."""
    if v < tile.vectors - tile.ragged:
        return None
    lanes = ir.VectorType(LANE, tile.lanes)
    columns = ir.Constant(lanes, [v * tile.lanes + lane for lane in range(tile.lanes)])
    return builder.icmp_signed("<", columns, _broadcast(builder, lanes, builder.trunc(width, LANE)))


def _load(builder, tile, start, v, width):
    place, mask = _pointer(builder, tile, start, v), _mask(builder, tile, v, width)
    if mask is None:
        return builder.load(place, align=1)
    vector = _vector(tile)
    name = f"llvm.masked.load.v{tile.lanes}f{8 * tile.bytes}.p0"
    return _call(builder, name, vector, [place, LANE(1), mask, ir.Constant(vector, None)])


def _store(builder, tile, vector, start, v, width):
    place, mask = _pointer(builder, tile, start, v), _mask(builder, tile, v, width)
    if mask is None:
        builder.store(vector, place, align=1)
    else:
        name = f"llvm.masked.store.v{tile.lanes}f{8 * tile.bytes}.p0"
        _call(builder, name, ir.VoidType(), [vector, place, LANE(1), mask])
