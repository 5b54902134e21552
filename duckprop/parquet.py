"""Small Parquet files from elsewhere: what the footer claims is held against the file before anything is decoded."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from duckprop.errors import ModelError
from duckprop.plain_files import open_plain
from duckprop.relation import first_line

_CODECS = {"UNCOMPRESSED", "SNAPPY"}
"""Snappy cannot make more than about 21 bytes of one; the others can make a thousand and more."""
_ENCODINGS = {"PLAIN", "RLE", "RLE_DICTIONARY", "PLAIN_DICTIONARY", "BIT_PACKED"}
_EXPANSION, _SPARE = 64, 1 << 20
_THRIFT: dict[str, Any] = {"thrift_string_size_limit": 1 << 20, "thrift_container_size_limit": 1000}


def read_table(
    path: Path, data: bytes | None, what: str, *, texts: tuple[str, ...] = (), most: int | None = None
) -> pa.Table:
    """Return a Parquet file as a table; what its columns are is for the caller to check.

    data: the file's bytes, or None to read them. what: what errors call it. texts: columns to keep as dictionaries.
    most: the most rows.
    Raises ModelError where the file is missing, damaged, or larger inside than it can be.
    """
    try:
        if data is None:
            with open_plain(path) as source:
                data = source.read()
        file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=list(texts), pre_buffer=False, **_THRIFT)
        _check_sizes(file.metadata, len(data), most)
        table = file.read(use_threads=False)
        table.validate(full=True)
        return table
    except (OSError, ValueError, MemoryError, pa.ArrowException, KeyError) as error:
        why = f"it has no column {error}" if isinstance(error, KeyError) else first_line(error)
        fact = f"{path} is not a readable {what}: {why}"
        raise ModelError(fact, "copy the model again from where it was published, or train it again") from None


def _check_sizes(footer: pq.FileMetaData, size: int, most: int | None) -> None:
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    if footer.num_rows < 0 or footer.num_rows != sum(group.num_rows for group in groups):
        raise ValueError(f"its footer counts {footer.num_rows} rows")
    if most is not None and footer.num_rows > most:
        raise ValueError(f"it has {footer.num_rows} rows, at most {most} are expected")
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    for chunk in chunks:
        if chunk.compression not in _CODECS or not set(chunk.encodings) <= _ENCODINGS:
            raise ValueError(f"it is compressed by {chunk.compression}, encoded as {', '.join(chunk.encodings)}")
    numbers = [min(chunk.num_values, chunk.total_uncompressed_size, chunk.total_compressed_size) for chunk in chunks]
    claimed = sum(max(8 * chunk.num_values, chunk.total_uncompressed_size) for chunk in chunks)
    if min(numbers, default=0) < 0 or claimed > _EXPANSION * size + _SPARE:
        raise ValueError(f"its footer promises {claimed} bytes, out of all proportion to the file's {size}")
