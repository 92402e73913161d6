"""Reading and writing of YAML files: the part of the YAML 1.2 core schema that this project's files need.

`010` is the number ten; `no`, `12:30` and `2024-01-31` are strings. Duplicate keys, anchors and tags are errors: a duplicate
key loses a value, anchors can expand one line to gigabytes, and tags can execute code.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from progress_measures.errors import UserError

MAX_BYTES = 10_000_000  # maximum size of a file
MAX_DEPTH = 50  # maximum number of lists and mappings inside each other

# By type: the pattern of its values, and their possible first characters. An empty value is null, too.
_SCALARS = {
    "null": (r"~|null|Null|NULL|", "~nN"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]{1,40}", "-+0123456789"),
    "float": (
        r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
}


# The C loader is used if it is installed, because the pure-Python loader takes a second for large files.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 # as in PyYAML

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Build a mapping; raise an error for duplicate keys."""
        seen = set()
        for key, _ in node.value:
            if (key.tag, str(key.value)) in seen:
                raise yaml.constructor.ConstructorError(
                    "while reading a mapping",
                    node.start_mark,
                    f"the key {key.value!r:.60} occurs twice",
                    key.start_mark,
                )
            seen.add((key.tag, str(key.value)))
        return super().construct_mapping(node, deep)

    def construct_int(self, node: Any) -> int:
        """Read an integer in base 10, also with leading zeros."""
        return int(node.value)


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 # as in PyYAML

    def ignore_aliases(self, data: Any) -> bool:
        """Write repeated values in full instead of as aliases."""
        return True


for _kind, (_pattern, _first) in _SCALARS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_pattern})$"), list(_first))
for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("^$"), [""])
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_int)  # `010` is ten


def read_yaml(path: Path) -> Any:
    """Read a YAML file: strings, numbers, true, false, None, lists and dictionaries. An empty file gives None.

    Raises:
        UserError: The file does not exist, cannot be read, is not valid YAML, or uses an unsupported feature.
    """
    try:
        if not path.is_file():
            raise UserError(f"{path}: {'is not a file' if path.exists() else 'there is no such file'}.")
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is larger than {MAX_BYTES // 10**6} MB, the limit for YAML files.")
        text = path.read_text(encoding="utf-8")
        _reject_unsupported(text)
        return yaml.load(text, Loader=_Loader)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None


def yaml_text(content: Any) -> str:
    """Return content as YAML text that `read_yaml` reads back unchanged, except that tuples become lists."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=120)


def _reject_unsupported(text: str) -> None:
    """Reject anchors, tags and deep nesting before the text is parsed into values."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        anchor, tag = (getattr(event, name, None) for name in ("anchor", "tag"))
        problem = None
        if anchor:
            problem = f"anchors are not supported here (&{anchor:.60} or *{anchor:.60}); write the value out"
        elif tag:
            problem = f"tags are not supported here ({tag:.60}); remove the tag"
        elif depth > MAX_DEPTH:
            problem = f"more than {MAX_DEPTH} nested lists and mappings"
        if problem:
            mark: Any = event.start_mark
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
