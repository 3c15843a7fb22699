"""Tables for a terminal: without a frame, so that they read well in a log, too."""

from rich import box
from rich.table import Table
from rich.text import Text


def titled_table(title: str, *columns: str) -> Table:
    """Return an empty table under a title ("": none); text in its columns is folded, not cut."""
    table = Table(
        title=Text(title) if title else None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
