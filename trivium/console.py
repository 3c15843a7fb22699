"""Where the command writes to: data to stdout, talk to stderr."""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

out = Console(highlight=False)
talk = Console(stderr=True, highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print data as JSON.")]


def say(text: str) -> None:
    """Tell the user what happens."""
    talk.print(f"[dim]·[/dim] {escape(text)}")
