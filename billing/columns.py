"""Whether a file's columns are those of a CUR 2.0 export with resource ids."""

from collections.abc import Iterable
from pathlib import Path

from billing.line import COLUMNS
from placement.errors import UserError

_LEGACY = "lineItem/"


def check_columns(path: Path, names: Iterable[str]) -> None:
    """Make sure that every column that is needed is there.

    Raises:
        UserError: one is missing; the sentence names all that are, and what to do.

    """
    found = set(names)
    missing = [name for name in COLUMNS if name not in found]
    if not missing:
        return
    if any(name.startswith(_LEGACY) for name in found):
        raise UserError(
            f"{path} is a Cost and Usage Report of the old kind; make a CUR 2.0 export in AWS "
            "Data Exports."
        )
    if len(missing) == len(COLUMNS):
        raise UserError(
            f"{path} is no CUR 2.0 export: it is neither Parquet nor CSV with its columns."
        )
    advice = (
        "make the export with resource ids (INCLUDE_RESOURCES)"
        if missing == ["line_item_resource_id"]
        else "select all columns in the export"
    )
    columns = "column" if len(missing) == 1 else "columns"
    raise UserError(f"{path} lacks the {columns} {', '.join(missing)}; {advice}.")
