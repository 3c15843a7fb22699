"""Rows of a CUR 2.0 export as CSV, plain or gzipped, one at a time."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from billing.columns import check_columns
from placement.errors import UserError

GZIP_MAGIC = b"\x1f\x8b"
_LONGEST_LINE = 1 << 22  # characters; all columns of a line are far fewer


def csv_rows(path: Path, *, gzipped: bool) -> Iterator[tuple[int, dict[str, str]]]:
    """Give each row with its line number.

    Raises:
        UserError: the file is no CSV of CUR 2.0, lacks columns, or is cut off.

    """
    try:
        with closing(_opened(path, gzipped=gzipped)) as binary:
            text = io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")
            reader = csv.reader(_whole_lines(path, text), strict=True)
            header = next(reader, [])
            check_columns(path, header)
            for row in reader:
                yield reader.line_num, _named(path, reader.line_num, header, row)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is neither Parquet nor CSV.") from error
    except (EOFError, zlib.error, csv.Error, OSError) as error:
        why = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"{path} is cut off or damaged ({why}); fetch it again.") from error


def _opened(path: Path, *, gzipped: bool) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path, "rb")) if gzipped else path.open("rb")


def _whole_lines(path: Path, text: TextIO) -> Iterator[str]:
    """Give the lines; the last has an end, or a figure at its end may have lost digits."""
    while line := text.readline(_LONGEST_LINE):
        yield line  # first, so that a file of another kind is told by its columns
        if not line.endswith(("\n", "\r")):
            why = "a line has no end" if len(line) < _LONGEST_LINE else "a line is too long"
            raise UserError(f"{path} is cut off or damaged ({why}); fetch it again.")


def _named(path: Path, number: int, header: Sequence[str], row: Sequence[str]) -> dict[str, str]:
    if len(row) != len(header):
        raise UserError(
            f"{path} is cut off or damaged (line {number} has {len(row)} of {len(header)} fields); "
            "fetch it again."
        )
    return dict(zip(header, row, strict=True))
