"""The JSON of a trace, value by value: what is wrong with one becomes one sentence.

Plain code instead of models, and arrays for what tasks name: a trace may have 100,000 tasks that
name millions of files and parents.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from placement.errors import UserError

type Positions = npt.NDArray[np.int64]

_LONGEST_SHOWN = 60
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse(raw: bytes, source: str) -> Any:
    """Return the values of a JSON text. Raises UserError where it is none."""
    try:
        data = json.loads(raw)
        if _SURROGATE.search(raw):  # half a pair could not be printed later
            json.dumps(data, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise UserError(
            f"{source}, line {error.lineno}: this is not JSON: {error.msg.lower()}."
        ) from error
    except UnicodeError as error:
        raise UserError(f"{source} is not text in UTF-8.") from error
    except ValueError as error:
        raise UserError(f"{source} holds a number with too many digits.") from error
    except RecursionError as error:
        raise UserError(f"{source} is nested too deeply.") from error
    return data


def shown(value: Any) -> str:
    """Return a value as JSON, shortened, for a message."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except ValueError:
        return "a number with too many digits"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


@dataclass(frozen=True, slots=True)
class Named:
    """What tasks name: the task at `owners[i]` names what is at `names[i]`.

    Sorted by owner, each pair once; `tasks` and `known` are how many there are of both.
    """

    owners: Positions
    names: Positions
    tasks: int
    known: int

    @classmethod
    def of(cls, pairs: Positions, tasks: int, known: int) -> Self:
        """Make it from `pairs`, owner and name as one number each; names become sorted too."""
        pairs = distinct(pairs)
        return cls(pairs // known, pairs % known, tasks, known)

    @property
    def pairs(self) -> Positions:
        """Owner and name as one number each."""
        return self.owners * self.known + self.names

    def tuples(self) -> list[tuple[int, ...]]:
        """Return what each task names."""
        ends = np.searchsorted(self.owners, np.arange(self.tasks + 1)).tolist()
        names = self.names.tolist()
        return [tuple(names[start:end]) for start, end in pairwise(ends)]


def distinct(values: Positions) -> Positions:
    """Return the values sorted, each once; numpy's own function hashes, which takes ten times."""
    ordered: Positions = np.sort(values)
    first: Positions = ordered[np.append(True, ordered[1:] != ordered[:-1])[: ordered.size]]
    return first


@dataclass(frozen=True, slots=True)
class Checker:
    """Takes values out of JSON; what is wrong with them becomes a sentence about `source`."""

    source: str

    def error(self, message: str) -> UserError:
        """Return the error, to be raised; a message has no full stop."""
        return UserError(f"{self.source}: {message}.")

    def part(self, owner: Mapping[str, Any], path: str, kind: type) -> Any:
        """Return the object or list that `owner` has under the last word of a path."""
        value = owner.get(path.rsplit(".", 1)[-1])
        if value is None:
            raise self.error(f"{path} is missing; a trace in WfFormat has it")
        if not isinstance(value, kind):
            what = "an object" if kind is dict else "a list"
            raise self.error(f"{path} is {shown(value)}, not {what}")
        return value

    def objects(self, owner: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
        """Return a list of objects, as `part` does."""
        items: list[dict[str, Any]] = self.part(owner, path, list)
        for i, item in enumerate(items):
            if not isinstance(item, dict):
                raise self.error(f"{path}[{i}] is {shown(item)}, not an object")
        return items

    def positions(self, items: Sequence[Mapping[str, Any]], path: str) -> dict[str, int]:
        """Return the position of every id in a list of objects."""
        found: dict[str, int] = {}
        for i, item in enumerate(items):
            name = item.get("id")
            if not isinstance(name, str) or not name:
                raise self.error(f"{path}[{i}] needs an id, which is a text")
            if name in found:
                raise self.error(f"{path} holds the id {shown(name)} twice")
            found[name] = i
        return found

    def numbers(
        self, items: Sequence[Mapping[str, Any]], field: str, of: str, most: float, *, needed: bool
    ) -> list[float]:
        """Return a number from 0 to `most` of every object; 0 where it is missing, if it may."""
        found: list[float] = []
        for item in items:
            value = item.get(field)
            # Compared as it is: nan fails, and an integer may be too large to become a float.
            if (type(value) is int or type(value) is float) and 0 <= value <= most:
                found.append(value)
            elif value is None and not needed:
                found.append(0)
            else:
                raise self._not_a_number(value, f"{field} of the {of} {shown(item['id'])}", most)
        return found

    def _not_a_number(self, value: Any, what: str, most: float) -> UserError:
        if value is None:
            return self.error(f"{what} is missing")
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self.error(f"{what} is {shown(value)}, not a number")
        return self.error(f"{what} is {shown(value)}; it may be 0 to {most:,.0f}")

    def named(
        self,
        tasks: Sequence[Mapping[str, Any]],
        field: str,
        known: Mapping[str, int],
        *,
        needed: bool,
        unknown: str,
    ) -> Named:
        """Return what every task names in a list of ids, each once, in the order of the trace.

        `unknown` says what an id is that is not `known`.
        """
        lists = []
        for task in tasks:
            names = [] if task.get(field) is None and not needed else task.get(field)
            if names is None:
                raise self.error(f"{field} of the task {shown(task['id'])} is missing")
            if not isinstance(names, list):
                what = f"{field} of the task {shown(task['id'])}"
                raise self.error(f"{what} is {shown(names)}, not a list of ids")
            lists.append(names)
        counts = np.fromiter(map(len, lists), np.int64, len(lists))
        try:
            found = np.fromiter(
                map(known.__getitem__, chain.from_iterable(lists)), np.int64, int(counts.sum())
            )
        except (KeyError, TypeError):
            raise self._unknown(tasks, field, known, unknown) from None
        named = Named(np.repeat(np.arange(len(lists)), counts), found, len(lists), len(known))
        first = np.sort(np.unique(named.pairs, return_index=True)[1])
        return Named(named.owners[first], named.names[first], len(lists), len(known))

    def _unknown(
        self,
        tasks: Sequence[Mapping[str, Any]],
        field: str,
        known: Mapping[str, int],
        unknown: str,
    ) -> UserError:
        task, name = next(
            (task, name)
            for task in tasks
            for name in task.get(field) or ()
            if not isinstance(name, str) or name not in known
        )
        return self.error(
            f"{field} of the task {shown(task['id'])} names {shown(name)}, which {unknown}"
        )
