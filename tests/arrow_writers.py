"""The same sparse rows as every Arrow type that duckprop.features accepts. A row is None or (column, value) pairs."""

from decimal import Decimal

import pyarrow as pa

WIDTH = 12
NAMES = tuple(f"f{column}" for column in range(WIDTH))
ENUM = pa.dictionary(pa.int8(), pa.string())


def struct(key=None, value=None, of=pa.list_):
    kind = pa.struct([("indices", of(key or pa.int32())), ("values", of(value or pa.float32()))])
    return lambda rows: pa.array([None if row is None else _lists(row) for row in rows], kind)


def _lists(row):
    return {"indices": [column for column, _ in row], "values": [value for _, value in row]}


def decimals(rows):
    kind = pa.struct([("indices", pa.list_(pa.decimal128(38, 0))), ("values", pa.list_(pa.decimal128(9, 2)))])
    exact = [None if row is None else [(Decimal(column), Decimal(str(value))) for column, value in row] for row in rows]
    return pa.array([None if row is None else _lists(row) for row in exact], kind)


def names_in(kind, of=pa.list_):
    kind = pa.struct([("indices", of(kind)), ("values", of(pa.float32()))])
    return lambda rows: pa.array([None if row is None else _lists(_named(row)) for row in rows], kind)


def _named(row):
    return [(NAMES[column], value) for column, value in row]


def mapping(key, value=None):
    kind = pa.map_(key, value or pa.float32())
    by_name = not pa.types.is_integer(key)
    return lambda rows: pa.array([row if row is None or not by_name else _named(row) for row in rows], kind)


def pairs(key, of=pa.list_):
    kind = of(pa.struct([("feature", key), ("amount", pa.float64())]))
    by_name = not pa.types.is_integer(key)
    pick = _named if by_name else list
    fields = ("feature", "amount")
    return lambda rows: pa.array(
        [None if row is None else [dict(zip(fields, pair, strict=True)) for pair in pick(row)] for row in rows], kind
    )


def _dense(row):
    full = [0.0] * WIDTH
    for column, value in row:
        full[column] += value
    return full


def dense(kind):
    return lambda rows: pa.array([None if row is None else _dense(row) for row in rows], kind)


def vector(is_dense):
    """Spark ML's vector; ``is_dense`` says which rows are dense ones."""
    kind = pa.struct(
        [
            ("type", pa.int8()),
            ("size", pa.int32()),
            ("indices", pa.list_(pa.int32())),
            ("values", pa.list_(pa.float64())),
        ]
    )

    def cell(at, row):
        if row is None:
            return None
        if is_dense(at):
            return {"type": 1, "size": None, "indices": None, "values": _dense(row)}
        return {"type": 0, "size": WIDTH, **_lists(row)}

    return lambda rows: pa.array([cell(at, row) for at, row in enumerate(rows)], kind)


def libsvm(kind):
    texts = lambda rows: [None if row is None else " ".join(f"{c}:{v!r}" for c, v in row) for row in rows]  # noqa: E731
    if pa.types.is_dictionary(kind):
        return lambda rows: pa.array(texts(rows), kind.value_type).dictionary_encode()
    return lambda rows: pa.array(texts(rows), kind)


SPARSE = {
    "struct": struct(),
    "struct of large lists": struct(pa.int64(), pa.float64(), pa.large_list),
    "struct of list views": struct(of=pa.list_view),
    "struct of large list views": struct(of=pa.large_list_view),
    **{
        f"struct, {kind} columns": struct(kind)
        for kind in (pa.int8(), pa.uint8(), pa.int16(), pa.uint32(), pa.uint64())
    },
    "struct, half": struct(pa.int64(), pa.float16()),
    "struct, decimals": decimals,
    "struct, names": names_in(pa.string()),
    "struct, name views": names_in(pa.string_view(), pa.list_view),
    "vector, sparse": vector(lambda at: False),
    "map, int": mapping(pa.int32()),
    "map, bigint": mapping(pa.int64(), pa.float64()),
    "map, name": mapping(pa.string()),
    "map, large name": mapping(pa.large_string()),
    "map, enum": mapping(ENUM),
    "pairs, int": pairs(pa.int32()),
    "pairs, large": pairs(pa.int64(), pa.large_list),
    "pairs, view": pairs(pa.int32(), pa.list_view),
    "pairs, name": pairs(pa.string()),
    "pairs, enum": pairs(ENUM),
    "text": libsvm(pa.string()),
    "large text": libsvm(pa.large_string()),
    "text view": libsvm(pa.string_view()),
    "text as dictionary": libsvm(pa.dictionary(pa.int32(), pa.string())),
}
DENSE = {
    "floats": dense(pa.list_(pa.float32())),
    "doubles": dense(pa.list_(pa.float64())),
    "halves": dense(pa.list_(pa.float16())),
    "large floats": dense(pa.large_list(pa.float32())),
    "float views": dense(pa.list_view(pa.float32())),
    "fixed floats": dense(pa.list_(pa.float32(), WIDTH)),
    "fixed doubles": dense(pa.list_(pa.float64(), WIDTH)),
    "vector, dense": vector(lambda at: True),
    "vector, mixed": vector(lambda at: at % 2 == 0),
}


def _present(item, of=pa.list_):
    by_name = not pa.types.is_integer(item)
    return lambda rows: pa.array(
        [None if row is None else [NAMES[column] if by_name else column for column, _ in row] for row in rows], of(item)
    )


PRESENT = {
    "integers": _present(pa.int32()),
    "unsigned": _present(pa.uint16(), pa.large_list),
    "integer views": _present(pa.int64(), pa.list_view),
    "names": _present(pa.string()),
    "large names": _present(pa.large_string(), pa.large_list),
    "name views": _present(pa.string_view(), pa.list_view),
    "enums": _present(ENUM),
}
