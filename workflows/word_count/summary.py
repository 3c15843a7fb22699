"""Adds up what was counted in the pieces."""

import json
from collections import Counter
from pathlib import Path
from typing import Any


def run(inputs: list[Path], output: Path) -> dict[str, Any]:
    """Write one JSON object: lines, words, characters, and every word with its count.

    An input of one line of three numbers comes from `wc`; all others are lines of `uniq -c`.
    """
    sizes = [0, 0, 0]
    words: Counter[str] = Counter()
    for path in inputs:
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        if len(rows) == 1 and len(rows[0]) == len(sizes):
            sizes = [total + int(size) for total, size in zip(sizes, rows[0], strict=True)]
            continue
        for row in rows:
            if len(row) > 1:  # `tr` leaves one empty word before the first letter of a piece
                words[row[1]] += int(row[0])
    totals = dict(zip(("lines", "words", "characters"), sizes, strict=True))
    ordered = dict(sorted(words.items(), key=lambda word: (-word[1], word[0])))
    output.write_text(json.dumps(totals | {"counts": ordered}, indent=1), encoding="utf-8")
    return totals | {"distinct_words": len(ordered)}
