"""Where the command writes to: data to stdout, talk to stderr."""

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

out = Console(highlight=False)
talk = Console(stderr=True, highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print data as JSON.")]


def say(text: str) -> None:
    """Tell the user what happens."""
    talk.print(f"[dim]·[/dim] {escape(text)}")


def print_json(data: Mapping[str, Any]) -> None:
    """Print data as JSON, as it is however wide the terminal is."""
    sys.stdout.write(json.dumps(data, indent=2) + "\n")
