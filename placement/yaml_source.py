"""YAML text to plain values with the line of everything, and nothing that YAML can hide in.

Anchors and aliases are refused (they can grow without bound), as are tags, duplicate keys,
several documents, and text that is too long or too deep.
"""

from typing import Any

import yaml

from placement.errors import UserError

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 20

type Path = tuple[str | int, ...]

_SCALARS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null")}
_CONTAINERS = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}
# libyaml where the wheel has it: the books are parsed at every cold start of the Plan function.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Source:
    """The values of one YAML text, and the line on which each path of keys begins."""

    def __init__(self, text: str, name: str) -> None:
        """Parse `text`; `name` is what error messages call it. Raises UserError."""
        self.name = name
        self._lines: dict[Path, int] = {}
        if len(text) > MAX_CHARACTERS:
            raise UserError(f"{name} is longer than {MAX_CHARACTERS:,} characters.")
        self._refuse_unsafe(text)
        try:
            node = yaml.compose(text, Loader=_Loader)
        except yaml.YAMLError as error:
            raise self._syntax_error(error) from error
        self.data: Any = None if node is None else self._value(node, ())

    def error(self, path: Path, message: str) -> UserError:
        """Return a UserError that starts with the file and the line of the nearest known path."""
        return UserError(f"{self.name}, line {self.line(path)}: {message}")

    def line(self, path: Path) -> int:
        """Return the 1-based line of a path, or of the nearest path above it that is there."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def _refuse_unsafe(self, text: str) -> None:
        # On events, before any tree is built: composing is recursive and expands nothing safely.
        depth = 0
        try:
            for event in yaml.parse(text, Loader=_Loader):
                line = event.start_mark.line + 1 if event.start_mark else 1
                if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                    raise UserError(
                        f"{self.name}, line {line}: anchors (&) and aliases (*) are not allowed; "
                        "write the value out, or quote text that begins so."
                    )
                depth += isinstance(event, yaml.CollectionStartEvent)
                depth -= isinstance(event, yaml.CollectionEndEvent)
                if depth > MAX_DEPTH:
                    raise UserError(
                        f"{self.name}, line {line}: nested more than {MAX_DEPTH} levels deep."
                    )
        except yaml.YAMLError as error:
            raise self._syntax_error(error) from error

    def _syntax_error(self, error: yaml.YAMLError) -> UserError:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
        return UserError(f"{self.name}, line {line}: this is not valid YAML: {problem}.")

    def _value(self, node: yaml.Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self._lines.setdefault(path, line)
        kind = node.tag.rsplit(":", 1)[-1]
        if node.tag not in _SCALARS | _CONTAINERS and isinstance(node, yaml.ScalarNode):
            raise UserError(
                f'{self.name}, line {line}: "{node.value}" is read by YAML as {kind}; '
                "put it in quotes if text is meant."
            )
        if node.tag not in _SCALARS | _CONTAINERS:
            raise UserError(f"{self.name}, line {line}: the YAML tag {kind} is not allowed.")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value
            if key_node.tag != "tag:yaml.org,2002:str":
                shown = key if isinstance(key, str) else "a list or mapping"
                raise UserError(
                    f"{self.name}, line {line}: the key {shown} is not text; put it in quotes."
                )
            if key in values:
                first = self._lines[(*path, key)]
                raise UserError(
                    f'{self.name}, line {line}: "{key}" stands here twice; first on line {first}.'
                )
            self._lines[(*path, key)] = line
            values[key] = self._value(value_node, (*path, key))
        return values

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            return yaml.SafeLoader("").construct_object(node)
        except (ValueError, OverflowError) as error:
            line = node.start_mark.line + 1
            raise UserError(
                f'{self.name}, line {line}: "{str(node.value)[:60]}" cannot be read as a number.'
            ) from error
