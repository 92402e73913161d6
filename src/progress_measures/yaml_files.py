"""Reads and writes YAML files as people mean them: the core of YAML 1.2, and of that no more than these files need.

So `010` is ten, and `no`, `12:30` and `2024-01-31` are texts. A key that stands twice, an anchor and a tag are refused: the
first would lose a value, the second can make gigabytes of a line, the third asks for code to be run.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from progress_measures.errors import UserError

LARGEST = 10_000_000  # bytes of a file
DEEPEST = 50  # lists and mappings within each other

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


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # in Python large files take a second
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 # PyYAML's own

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if (key.tag, str(key.value)) in seen:
                raise yaml.constructor.ConstructorError(
                    "while reading a mapping",
                    node.start_mark,
                    f"the key {key.value!r:.60} stands twice",
                    key.start_mark,
                )
            seen.add((key.tag, str(key.value)))
        return super().construct_mapping(node, deep)

    def construct_int(self, node: Any) -> int:
        return int(node.value)


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 # PyYAML's own

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _kind, (_pattern, _first) in _SCALARS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_pattern})$"), list(_first))
for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("^$"), [""])
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_int)  # `010` is ten


def read_yaml(path: Path) -> Any:
    """What a file holds: texts, numbers, true, false, None, lists and dictionaries.

    Raises:
        UserError: there is no such file, it cannot be read or is no YAML, or it has what is refused.
    """
    try:
        if not path.is_file():
            raise UserError(f"{path}: {'is no file' if path.exists() else 'there is no such file'}.")
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path} has more than {LARGEST // 10**6} MB, which is no file that people write.")
        text = path.read_text(encoding="utf-8")
        _check(text)
        return yaml.load(text, Loader=_Loader)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None


def yaml_text(content: Any) -> str:
    """Content that `read_yaml` gives back."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=120)


def _check(text: str) -> None:
    """Refuse what is not for these files, before anything is made of it."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        anchor, tag = (getattr(event, name, None) for name in ("anchor", "tag"))
        wrong = None
        if anchor:
            wrong = f"anchors are not for these files (&{anchor:.60} or *{anchor:.60}); write the value out"
        elif tag:
            wrong = f"tags are not for these files ({tag:.60})"
        elif depth > DEEPEST:
            wrong = f"more than {DEEPEST} lists and mappings within each other"
        if wrong:
            place: Any = event.start_mark
            raise yaml.MarkedYAMLError(problem=wrong, problem_mark=place)
