"""Puts the lengths of all lines together."""

import json
from collections import Counter
from pathlib import Path
from typing import Any


def run(inputs: list[Path], output: Path) -> dict[str, Any]:
    """Write how many lines have which length."""
    lengths = Counter(int(path.read_text(encoding="utf-8")) for path in inputs)
    output.write_text(json.dumps({str(size): lengths[size] for size in sorted(lengths)}))
    return {"lines": len(inputs), "longest": max(lengths, default=0)}
