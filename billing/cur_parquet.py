"""Rows of a CUR 2.0 export as Parquet, in batches."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from billing.columns import check_columns
from billing.line import COLUMNS
from placement.errors import UserError

PARQUET_MAGIC = b"PAR1"
_BATCH_ROWS = 8192


def parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Give each row with its number; only the columns that are needed are read.

    Raises:
        UserError: the file lacks columns, or is cut off.

    """
    # pyarrow takes a quarter of a second to load, and most commands need none of it.
    from pyarrow import ArrowException, parquet  # noqa: PLC0415

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            check_columns(path, file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=list(COLUMNS)):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (ArrowException, OSError) as error:
        why = str(error).splitlines()[0].rstrip(".")
        raise UserError(f"{path} is cut off or damaged ({why}); fetch it again.") from error
