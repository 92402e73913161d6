"""Foreign names and orientations of tensors, by a format: a YAML file that says where each of our tensors is.

    W_E: [transformer.wte.weight, token d_model]
    W_Q: ["h.{layer}.attn.q.weight", (head d_head) d_model]

Each entry has the tensor's name there, with `{layer}` where there is one a layer, and its axes as einops writes them: the
names of ours (`AXES`) in their order, grouped where several are one. `layer` may be an axis, and so may `qkv`, of size 3,
where W_Q, W_K and W_V are one tensor. The formats that are known are the files in formats/; one's own is given by path.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from einops import rearrange
from numpy.typing import NDArray

from progress_measures.errors import UserError
from progress_measures.importing.contents import State
from progress_measures.yaml_files import read_yaml

FOLDER = Path(__file__).parent / "formats"

AXES = {
    "W_E": "token d_model",
    "W_pos": "position d_model",
    "W_Q": "layer head d_model d_head",
    "W_K": "layer head d_model d_head",
    "W_V": "layer head d_model d_head",
    "W_O": "layer head d_head d_model",
    "b_Q": "layer head d_head",
    "b_K": "layer head d_head",
    "b_V": "layer head d_head",
    "b_O": "layer d_model",
    "W_in": "layer d_model neuron",
    "W_out": "layer neuron d_model",
    "b_in": "layer neuron",
    "b_out": "layer d_model",
    "W_U": "d_model output",
    "b_U": "output",
    "ln1_w": "layer d_model",
    "ln1_b": "layer d_model",
    "ln2_w": "layer d_model",
    "ln2_b": "layer d_model",
    "ln_final_w": "d_model",
    "ln_final_b": "d_model",
}
TOGETHER = (
    ("b_Q", "b_K", "b_V"),
    ("b_in", "b_out"),
    ("ln1_w", "ln2_w", "ln_final_w"),
    ("ln1_b", "ln2_b", "ln_final_b"),
)
"""Tensors of which a network has all or none, if its format has them."""
REQUIRED = tuple(name for name in AXES if name.startswith("W_"))

Groups = list[list[str]]
Weights = dict[str, NDArray[Any]]


class Format:
    """Where each of our tensors is, and in which orientation.

    Args:
        path: of its YAML file.
    Raises:
        UserError: the file is missing or wrong.
    """

    def __init__(self, path: Path):
        self.name, self._path = path.stem, path
        content = read_yaml(path)
        if not isinstance(content, dict):
            raise UserError(
                f"{path}: expected lines such as `W_E: [embed.weight, token d_model]`, found {content!r:.60}."
            )
        self.title = str(content.pop("title", path.name))
        self.places: dict[str, tuple[str, Groups]] = dict(self._places(content))
        missing = [name for name in REQUIRED if name not in self.places]
        if missing:
            raise UserError(f"{path}: says nothing of {', '.join(missing)}, which every network needs.")
        ways = {
            ("{layer}" in theirs, any("layer" in group for group in groups))
            for name, (theirs, groups) in self.places.items()
            if "layer" in AXES[name]
        }
        if len(ways) > 1:
            raise UserError(
                f"{path}: some tensors have {{layer}} in their name, or an axis `layer`, and others do not."
            )

    def _places(self, content: dict[str, Any]) -> Iterator[tuple[str, tuple[str, Groups]]]:
        for name, place in content.items():
            if name not in AXES:
                close = [ours for ours in AXES if ours.lower() == str(name).lower()]
                hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(AXES)}."
                raise UserError(f"{self._path}: {name!s:.60}: no tensor of ours has that name; {hint}")
            if not (isinstance(place, list) and len(place) == 2 and all(isinstance(part, str) for part in place)):
                raise UserError(f"{self._path}: {name}: expected [name, axes], such as [embed.weight, token d_model].")
            groups = _groups(place[1])
            axes = [axis for group in groups for axis in group]
            expected = set(AXES[name].split())
            if "{layer}" in place[0] and "layer" not in expected:
                raise UserError(f"{self._path}: {name}: there is one for all layers; its name has no {{layer}}.")
            layered = {"layer"} if "{layer}" in place[0] else set()
            allowed = {frozenset(expected - layered)}
            if name[-1] in "QKV":
                allowed |= {one | {"qkv"} for one in allowed}
            if not layered:
                allowed |= {frozenset(one - {"layer"}) for one in allowed}  # the only layer
            if len(axes) != len(set(axes)) or frozenset(axes) not in allowed:
                raise UserError(
                    f"{self._path}: {name}: its axes should be {' '.join(sorted(expected - layered))}, in their order there; "
                    f"found {place[1]!r:.60}."
                )
            yield name, (place[0], groups)

    def fit(self, state: State, sizes: Mapping[str, int]) -> "FormatMatch":
        """How well a state dict is of this format."""
        return FormatMatch(self, state, dict(sizes))


def _groups(axes: str) -> Groups:
    """`d_model (head d_head)` as [[d_model], [head, d_head]]."""
    return [group.strip("()").split() for group in re.findall(r"\([^)]*\)|\w+", axes)]


class FormatMatch:
    """A state dict read as one of a format.

    Attributes:
        problems: why it is not, in words; none where it is.
        sizes: of each axis, as far as the shapes tell.
    """

    def __init__(self, format: Format, state: State, sizes: dict[str, int]):
        self.format, self._state, self.sizes = format, state, sizes
        self._from: dict[str, str] = {}  # which tensor told each size
        self.missing = [self._name(name, 0) for name in REQUIRED if self._name(name, 0) not in state]
        self.problems = [f"there is no tensor {', '.join(self.missing)}"] if self.missing else self._sizes()

    def _name(self, name: str, layer: int) -> str:
        return self.format.places[name][0].replace("{layer}", str(layer))

    @cached_property
    def layers(self) -> int:
        """How many layers have a W_Q of their own."""
        if "{layer}" not in self.format.places["W_Q"][0]:
            return self.sizes.get("layer", 1)
        return next(layer for layer in itertools.count(1) if self._name("W_Q", layer) not in self._state)

    def _present(self) -> Iterator[tuple[str, str, Groups]]:
        """Ours, theirs and axes of each tensor that is there, layer by layer."""
        for name, (theirs, groups) in self.format.places.items():
            for layer in range(self.layers if "{layer}" in theirs else 1):
                if self._name(name, layer) in self._state or name in REQUIRED:
                    yield name, self._name(name, layer), groups

    def _sizes(self) -> list[str]:
        """Find the size of each axis; what does not go together is a problem."""
        todo, self.sizes = list(self._present()), self.sizes | {"qkv": 3}
        absent = [theirs for _, theirs, _ in todo if theirs not in self._state] + self._gaps()
        if absent:
            return [f"there is no tensor {', '.join(list(dict.fromkeys(absent))[:8])}"]
        shapes = {theirs: self._state[theirs].shape for _, theirs, _ in todo}
        wrong: dict[str, Groups] = {
            theirs: groups for _, theirs, groups in todo if len(shapes[theirs]) != len(groups) or 0 in shapes[theirs]
        }
        before = None
        while before != self.sizes:
            before = dict(self.sizes)
            for _, theirs, groups in todo:
                if theirs not in wrong and not self._learn(theirs, groups):
                    wrong[theirs] = groups
        unknown = {axis for _, _, groups in todo for group in groups for axis in group} - set(self.sizes)
        if not wrong and unknown - {"head", "d_head"}:
            return [f"no tensor's shape tells the size of {', '.join(sorted(unknown - {'head', 'd_head'}))}"]
        return [
            f"{theirs} has shape {shapes[theirs]}, expected {self._expected(groups)}"
            for theirs, groups in wrong.items()
        ]

    def _gaps(self) -> list[str]:
        """Tensors that are missing where others of their layer, of other layers or of their kind are there."""
        found: dict[str, set[int]] = {}
        for theirs, _ in self.format.places.values():
            pattern = re.compile(re.escape(theirs).replace(re.escape("{layer}"), "(0|[1-9][0-9]{0,3})"))
            there = {int(match[1]) for name in self._state if (match := pattern.fullmatch(name)) and match.groups()}
            if there:
                found[theirs] = there
        alike = [[self._name(name, 0) for name in names if name in self.format.places] for names in TOGETHER]
        halves = [
            theirs for names in alike for theirs in names if theirs not in self._state and {*names} & {*self._state}
        ]
        layers = range(max(set().union(*found.values()), default=-1) + 1)
        return halves + [
            theirs.replace("{layer}", str(layer))
            for theirs, there in found.items()
            for layer in layers
            if layer not in there
        ]

    def _learn(self, theirs: str, groups: Groups) -> bool:
        """Take the sizes that a tensor tells; false where they contradict what is known."""
        for group, size in zip(groups, self._state[theirs].shape, strict=True):
            unknown = [axis for axis in group if axis not in self.sizes]
            known = int(np.prod([self.sizes[axis] for axis in group if axis in self.sizes]))
            if size % known or (not unknown and known != size):
                return False
            if len(unknown) == 1:
                self.sizes[unknown[0]] = size // known
                self._from[unknown[0]] = theirs
        return True

    def _expected(self, groups: Groups) -> str:
        def text(axis: str) -> str:
            if axis not in self.sizes:
                return axis
            told = f", as in {self._from[axis]}" if axis in self._from else ""
            return f"{axis} = {self.sizes[axis]}{told}"

        return "[" + "; ".join(" × ".join(text(axis) for axis in group) for group in groups) + "]"

    @property
    def merged(self) -> int | None:
        """head × d_head, where the shapes do not tell them apart."""
        if self.problems or "head" in self.sizes:
            return None
        _, theirs, groups = next(one for one in self._present() if one[0] == "W_Q")
        at = next(i for i, group in enumerate(groups) if "head" in group)
        known = int(np.prod([self.sizes[axis] for axis in groups[at] if axis in self.sizes]))
        return self._state[theirs].shape[at] // known

    @property
    def ignored(self) -> list[str]:
        """Tensors that the format does not know."""
        return sorted(set(self._state) - {theirs for _, theirs, _ in self._present()})

    def weights(self, state: State | None = None, heads: int | None = None) -> dict[str, NDArray[Any]]:
        """Our tensors.

        Args:
            state: another of the same run; by default the one that was fitted.
            heads: where the shapes do not tell.
        """
        state = self._state if state is None else state
        sizes = self.sizes if heads is None or "head" in self.sizes else self.sizes | {"head": heads}
        found: dict[str, list[NDArray[Any]]] = {}
        for name, theirs, groups in self._present():
            found.setdefault(name, []).append(_turned(name, state[theirs], groups, sizes))
        return {
            name: found[name][0] if len(found[name]) == 1 and "layer" not in AXES[name] else np.concatenate(found[name])
            for name in AXES
            if name in found
        }


def _turned(name: str, tensor: NDArray[Any], groups: Groups, sizes: Mapping[str, int]) -> NDArray[Any]:
    """A tensor in our orientation; with a leading axis `layer` where ours has one."""
    axes = [axis for group in groups for axis in group]
    ours = AXES[name].split()
    given = [axis for axis in ours if axis in axes]
    target = ["qkv", *given] if "qkv" in axes else given
    grouped = " ".join(f"({' '.join(group)})" if len(group) > 1 else group[0] for group in groups)
    in_groups = {axis: sizes[axis] for group in groups if len(group) > 1 for axis in group[:-1] if axis in sizes}
    result = rearrange(tensor, f"{grouped} -> {' '.join(target)}", **in_groups)
    if "qkv" in axes:
        result = result["QKV".index(name[-1])]
    return result[None] if "layer" in ours and "layer" not in axes else result


def formats() -> list[Format]:
    """The formats that are known."""
    return [Format(path) for path in sorted(FOLDER.glob("*.yaml"))]


def best_match(state: State, sizes: Mapping[str, int], own: Path | None, path: Path) -> FormatMatch:
    """The format that a state dict is of.

    Args:
        state: under foreign names.
        sizes: of axes, as far as they are given.
        own: the user's mapping file, in place of the formats that are known.
    Raises:
        UserError: of none; says what is missing or wrong for the nearest.
    """
    fits = [format.fit(state, sizes) for format in ([Format(own)] if own else formats())]
    best = min(fits, key=lambda fit: (len(fit.missing), len(fit.problems)))
    if best.problems:
        there = ", ".join(list(state)[:12]) + (", …" if len(state) > 12 else "")
        hint = "" if own else " For other names and orientations, write a mapping file and give it with --map."
        if len(best.missing) > len(REQUIRED) // 2:
            raise UserError(f"{path}: its tensors are those of no known format: {there}.{hint}")
        raise UserError(f"{path}, read as of {best.format.title}: {best.problems[0]}. It has: {there}.{hint}")
    return best
