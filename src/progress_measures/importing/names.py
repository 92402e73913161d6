"""Give tensors of a network trained elsewhere the names and axis orders of `models.transformer` or `models.mlp`.

Names and tensors of that network are called foreign; those of this project are called ours. A format is a YAML file
that locates each of our tensors in a foreign state dict:

    W_E: [transformer.wte.weight, token d_model]
    W_Q: ["h.{layer}.attn.q.weight", (head d_head) d_model]

Each entry has the foreign tensor's name, with `{layer}` if every layer has a tensor of its own, and its axes in einops
notation: our axis names (`AXES`) in the order of the foreign tensor, with merged axes in parentheses and 1 for an axis
of size 1. A tensor that contains all layers has an axis `layer`; one that contains W_Q, W_K and W_V has an axis `qkv`
of size 3.

Other entries state what the tensors do not determine: the layout of the tokens (`tokens`), the position whose logits
are scored (`read`), and fields of an experiment's section `model`, such as `activation: gelu`. An entry `optional`
lists the matrices that a network of the format may lack. The built-in formats are the files in formats/. A format that
the user writes is called a mapping file; the option `--map` gives its path.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from einops import rearrange
from numpy.typing import NDArray
from pydantic import ValidationError

from progress_measures.errors import UserError
from progress_measures.experiments.load import validation_message
from progress_measures.experiments.schema import Model
from progress_measures.importing.contents import StateDict
from progress_measures.tasks.tokens import PAPER_LAYOUT, TokenLayout
from progress_measures.yaml_files import read_yaml

FOLDER = Path(__file__).parent / "formats"

DETERMINED_BY_TENSORS = {
    "layers", "d_model", "heads", "d_head", "d_mlp", "gated_mlp", "norm_weights", "attention_biases", "tied_embeddings",
    "unembedding_bias", "mlp_biases", "attention_only", "initialization",
}  # fmt: skip
"""Fields of the section `model` that a mapping file does not state.

They follow from the tensors, except `initialization`, which cannot be found from trained tensors and is `unknown` in the cube.
"""

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
    "W_gate": "layer d_model neuron",
    "b_gate": "layer neuron",
    "b_post": "layer neuron",
    "W_U": "d_model output",
    "b_U": "output",
    "ln1_w": "layer d_model",
    "ln1_b": "layer d_model",
    "ln2_w": "layer d_model",
    "ln2_b": "layer d_model",
    "ln_final_w": "d_model",
    "ln_final_b": "d_model",
}
"""Axes of each of our tensors of a transformer, in our order; `models.transformer` defines the tensors."""

MLP_AXES = {
    "W_E": "token d_model",
    "W_in": "input neuron",
    "b_in": "neuron",
    "W_hidden": "hidden_layer input_neuron neuron",
    "b_hidden": "hidden_layer neuron",
    "W_out": "neuron output",
    "b_out": "output",
}
"""Axes of each tensor of an MLP without attention, in our order. The mapping file of such an MLP states `mlp_input`."""

ALL_OR_NONE = (
    ("W_in", "W_out"),
    ("b_Q", "b_K", "b_V"),
    ("b_in", "b_out"),
    ("ln1_w", "ln2_w", "ln_final_w"),
    ("ln1_b", "ln2_b", "ln_final_b"),
)
"""Groups of tensors: a network has all of a group or none. Tensors that the network's format does not list are left out
of the group."""

ALWAYS_PRESENT = ("W_E", "W_Q", "W_K", "W_V", "W_O")
"""Tensors that every transformer has."""

SETTINGS = ("tokens", "read", *(name for name in Model.model_fields if name not in DETERMINED_BY_TENSORS))
"""What a mapping file may state besides the tensors."""

Groups = list[list[str]]
"""Axes of a foreign tensor, in order: one group per axis of the tensor, with several names if axes are merged."""

Weights = dict[str, NDArray[Any]]


class Format:
    """The location and axis order of each of our tensors in a foreign state dict.

    Attributes:
        name: stem of the YAML file.
        title: description of the format for users.
        locations: foreign name and groups of axes, by our tensor name.
        settings: what the YAML file states besides the tensors, by the names in `SETTINGS`.
        axes: axes of our tensors, `AXES` or `MLP_AXES`.
        required: our matrices that a network of this format must have; matrices under `optional`, biases and norms may be absent.

    Args:
        path: path of the YAML file.

    Raises:
        UserError: the file is missing or wrong.
    """

    def __init__(self, path: Path) -> None:
        self.name, self._path = path.stem, path
        content = read_yaml(path)
        if not isinstance(content, dict):
            raise UserError(
                f"{path}: expected lines such as `W_E: [embed.weight, token d_model]`, found {content!r:.60}."
            )
        self.title = str(content.pop("title", path.name))
        optional = self._checked_optional(content.pop("optional", []))
        self.settings = self._checked_settings(content)
        self.axes = AXES if self.settings.get("mlp_input") is None else MLP_AXES
        self.locations: dict[str, tuple[str, Groups]] = dict(self._checked_locations(content))
        always = ALWAYS_PRESENT if self.axes is AXES else ("W_in", "W_out")
        missing = [name for name in always if name not in self.locations]
        if missing:
            raise UserError(f"{path}: entries are missing for {', '.join(missing)}; every network has these tensors.")
        self.required = tuple(name for name in self.locations if name.startswith("W_") and name not in optional)
        # whether the name has {layer}, and whether the tensor has an axis of layers
        layer_styles = {
            ("{layer}" in foreign_name, any({"layer", "hidden_layer"} & set(group) for group in groups))
            for name, (foreign_name, groups) in self.locations.items()
            if {"layer", "hidden_layer"} & set(self.axes[name].split())
        }
        if len(layer_styles) > 1:
            raise UserError(
                f"{path}: tensors of the layers are written in different ways; write all of them with {{layer}} in the "
                "name, all with an axis `layer`, or, for a network of one layer, all with neither."
            )

    def _checked_optional(self, names: Any) -> list[str]:
        """Return the names of the matrices that a network of this format may lack, or raise an error for other names."""
        known = [name for name in AXES if name.startswith("W_") and name not in ALWAYS_PRESENT]
        if not (isinstance(names, list) and all(name in known for name in names)):
            raise UserError(f"{self._path}: optional: expected a list of {', '.join(known)}; found {names!r:.60}.")
        return names

    def _checked_settings(self, content: dict[str, Any]) -> dict[str, Any]:
        """Take the settings out of the file's content, check them as fields of an experiment, and return them."""
        settings = {name: content.pop(name) for name in SETTINGS if name in content}
        settings |= content.pop("model", None) or {}
        unknown = sorted(set(settings) - set(SETTINGS))
        if unknown:
            raise UserError(f"{self._path}: model.{unknown[0]!s:.60}: expected one of {', '.join(SETTINGS)}.")
        fields = {name: value for name, value in settings.items() if name in Model.model_fields}
        try:
            checked = Model.model_validate(fields)
        except ValidationError as error:
            raise UserError(validation_message(error, self._path)) from None
        try:
            # n is unknown here; a wrong layout is an error for any n
            TokenLayout.parse(str(settings.get("tokens", PAPER_LAYOUT)), 1)
        except ValueError as error:
            raise UserError(f"{self._path}: tokens: {error}.") from None
        read = settings.get("read", "last")
        if read != "last" and not (type(read) is int and read >= 0):
            raise UserError(
                f"{self._path}: read: expected `last` or a position, counted from 0, of the logits that are read; found "
                f"{read!r:.60}."
            )
        return settings | {name: getattr(checked, name) for name in fields}

    def _checked_locations(self, content: dict[str, Any]) -> Iterator[tuple[str, tuple[str, Groups]]]:
        """Check the file's entries for tensors, and yield each as our name, the foreign name and the groups of axes."""
        layer_axis = "layer" if self.axes is AXES else "hidden_layer"
        for name, location in content.items():
            if name not in self.axes:
                known = [*self.axes, *SETTINGS]
                similar = [known_name for known_name in known if known_name.lower() == str(name).lower()]
                hint = f"did you mean {similar[0]}?" if similar else f"expected one of {', '.join(known)}."
                raise UserError(f"{self._path}: {name!s:.60}: unknown tensor or setting; {hint}")
            if not (
                isinstance(location, list) and len(location) == 2 and all(isinstance(part, str) for part in location)
            ):
                raise UserError(f"{self._path}: {name}: expected [name, axes], such as [embed.weight, token d_model].")
            groups = _groups(location[1])
            axes = [axis for group in groups for axis in group if axis != "1"]
            expected = set(self.axes[name].split())
            if "{layer}" in location[0] and layer_axis not in expected:
                raise UserError(
                    f"{self._path}: {name}: a network has one such tensor, not one per layer; remove {{layer}} from its "
                    "name."
                )
            axes_in_name = {layer_axis} if "{layer}" in location[0] else set()
            allowed = {frozenset(expected - axes_in_name)}
            if name[-1] in "QKV":  # W_Q, W_K and W_V, or their biases, may be one tensor
                allowed |= {axis_set | {"qkv"} for axis_set in allowed}
            if not axes_in_name:
                allowed |= {frozenset(axis_set - {layer_axis}) for axis_set in allowed}  # a network of one layer
            if len(axes) != len(set(axes)) or frozenset(axes) not in allowed:
                raise UserError(
                    f"{self._path}: {name}: expected the axes {' '.join(sorted(expected - axes_in_name))}, in the order of "
                    f"the tensor in the file; found {location[1]!r:.60}."
                )
            yield name, (location[0], groups)

    def match(self, state: StateDict, sizes: Mapping[str, int], absent: frozenset[str] = frozenset()) -> FormatMatch:
        """Match a state dict against this format.

        Args:
            state: state dict with foreign names.
            sizes: sizes of axes that are known from elsewhere, such as `head`, the number of heads.
            absent: our names of the tensors that this network is known to lack, such as `W_in` if it has no MLPs.

        Returns:
            The match, whose `problems` are empty if the state dict has this format.
        """
        return FormatMatch(self, state, dict(sizes), absent)


def _groups(axes: str) -> Groups:
    """Parse axes in einops notation: `d_model (head d_head)` becomes [[d_model], [head, d_head]]."""
    return [group.strip("()").split() for group in re.findall(r"\([^)]*\)|\w+", axes)]


class FormatMatch:
    """A state dict matched against a format.

    Attributes:
        format: the format.
        sizes: size of each axis, as far as the shapes determine it; without `head` if they determine only head × d_head.
        missing: foreign names of required tensors that the state dict lacks; of a tensor that each layer has, the name
            in the first layer.
        problems: descriptions of what does not fit the format; empty if everything fits.
    """

    def __init__(self, format: Format, state: StateDict, sizes: dict[str, int], absent: frozenset[str]) -> None:
        self.format, self._state, self.sizes = format, state, sizes
        self._absent = absent
        self._required = [name for name in format.required if name not in absent]
        self._size_source: dict[str, str] = {}  # the tensor that determined each size
        self.missing = [
            self._foreign_name(name, 0) for name in self._required if self._foreign_name(name, 0) not in state
        ]
        self.problems = [f"missing tensors: {', '.join(self.missing)}"] if self.missing else self._find_sizes()

    def _foreign_name(self, name: str, layer: int) -> str:
        """Return the foreign name of one of our tensors in a layer."""
        return self.format.locations[name][0].replace("{layer}", str(layer))

    @cached_property
    def layers(self) -> int:
        """The number of layers: how many consecutive layers have a W_Q, or the size of the axis `layer`; at least 1.

        For an MLP without attention, W_hidden is counted in place of W_Q. Each hidden layer after the first has one, so
        the first hidden layer is not counted.
        """
        counted = "W_Q" if self.format.axes is AXES else "W_hidden"
        if "{layer}" not in self.format.locations.get(counted, ("", []))[0]:
            return self.sizes.get("layer", 1)
        return next(layer for layer in itertools.count(1) if self._foreign_name(counted, layer) not in self._state)

    def _present_or_required(self) -> Iterator[tuple[str, str, Groups]]:
        """Yield our name, the foreign name and the axes of each tensor that is present or required, for each layer."""
        for name, (foreign_name, groups) in self.format.locations.items():
            for layer in range(self.layers if "{layer}" in foreign_name else 1):
                if self._foreign_name(name, layer) in self._state or name in self._required:
                    yield name, self._foreign_name(name, layer), groups

    def _find_sizes(self) -> list[str]:
        """Find the size of each axis; return the problems: missing tensors, shapes that contradict others, or unknown sizes."""
        tensors, self.sizes = list(self._present_or_required()), self.sizes | {"qkv": 3, "1": 1}
        missing_names = [
            foreign_name for _, foreign_name, _ in tensors if foreign_name not in self._state
        ] + self._missing_counterparts()
        if missing_names:
            return [f"missing tensors: {', '.join(list(dict.fromkeys(missing_names))[:8])}"]
        shapes = {foreign_name: self._state[foreign_name].shape for _, foreign_name, _ in tensors}
        misfits: dict[str, Groups] = {
            foreign_name: groups
            for _, foreign_name, groups in tensors
            if len(shapes[foreign_name]) != len(groups) or 0 in shapes[foreign_name]
        }
        previous_sizes = None
        while previous_sizes != self.sizes:
            previous_sizes = dict(self.sizes)
            for _, foreign_name, groups in tensors:
                if foreign_name not in misfits and not self._update_sizes(foreign_name, groups):
                    misfits[foreign_name] = groups
        unknown = {axis for _, _, groups in tensors for group in groups for axis in group} - set(self.sizes)
        if not misfits and unknown - {"head", "d_head"}:
            return [f"no tensor's shape determines the size of {', '.join(sorted(unknown - {'head', 'd_head'}))}"]
        return [
            f"{foreign_name} has shape {shapes[foreign_name]}, expected {self._expected_shape(groups)}"
            for foreign_name, groups in misfits.items()
        ]

    def _missing_counterparts(self) -> list[str]:
        """List missing tensors: those that another layer has, and those of a group in `ALL_OR_NONE` that is partly present."""
        layers_with: dict[str, set[int]] = {}
        for foreign_name, _ in self.format.locations.values():
            pattern = re.compile(re.escape(foreign_name).replace(re.escape("{layer}"), "(0|[1-9][0-9]{0,3})"))
            present = {int(match[1]) for name in self._state if (match := pattern.fullmatch(name)) and match.groups()}
            if present:
                layers_with[foreign_name] = present
        listed = set(self.format.locations) - self._absent
        groups = [[self._foreign_name(name, 0) for name in names if name in listed] for names in ALL_OR_NONE]
        missing_in_group = [
            foreign_name
            for names in groups
            for foreign_name in names
            if foreign_name not in self._state and {*names} & {*self._state}
        ]
        layers = range(max(set().union(*layers_with.values()), default=-1) + 1)
        return missing_in_group + [
            foreign_name.replace("{layer}", str(layer))
            for foreign_name, present in layers_with.items()
            for layer in layers
            if layer not in present
        ]

    def _update_sizes(self, foreign_name: str, groups: Groups) -> bool:
        """Add the sizes that a tensor's shape determines; return False if the shape contradicts the known sizes."""
        for group, size in zip(groups, self._state[foreign_name].shape, strict=True):
            unknown = [axis for axis in group if axis not in self.sizes]
            known_size = int(np.prod([self.sizes[axis] for axis in group if axis in self.sizes]))
            if size % known_size or (not unknown and known_size != size):
                return False
            if len(unknown) == 1:
                self.sizes[unknown[0]] = size // known_size
                self._size_source[unknown[0]] = foreign_name
        return True

    def _expected_shape(self, groups: Groups) -> str:
        """Describe the expected shape, with the tensor that determined each size."""

        def text(axis: str) -> str:
            if axis not in self.sizes:
                return axis
            source = f", as in {self._size_source[axis]}" if axis in self._size_source else ""
            return f"{axis} = {self.sizes[axis]}{source}"

        return "[" + "; ".join(" × ".join(text(axis) for axis in group) for group in groups) + "]"

    @property
    def merged_head_size(self) -> int | None:
        """The product head × d_head if the shapes determine only this product, else None."""
        if self.problems or "head" in self.sizes:
            return None
        if self.format.axes is MLP_AXES:
            return None
        _, foreign_name, groups = next(entry for entry in self._present_or_required() if entry[0] == "W_Q")
        dimension = next(i for i, group in enumerate(groups) if "head" in group)
        known_size = int(np.prod([self.sizes[axis] for axis in groups[dimension] if axis in self.sizes]))
        return self._state[foreign_name].shape[dimension] // known_size

    @property
    def ignored(self) -> list[str]:
        """Names of tensors in the state dict that the format does not use."""
        return sorted(set(self._state) - {foreign_name for _, foreign_name, _ in self._present_or_required()})

    def weights(self, state: StateDict | None = None, heads: int | None = None) -> dict[str, NDArray[Any]]:
        """Return the tensors with our names and axis orders.

        Args:
            state: another state dict of the same run; by default, the matched one.
            heads: number of heads, used if the shapes do not determine it.

        Returns:
            Arrays by our names, with the axes in `AXES` or, for an MLP without attention, in `MLP_AXES`.
        """
        state = self._state if state is None else state
        sizes = self.sizes if heads is None or "head" in self.sizes else self.sizes | {"head": heads}
        parts: dict[str, list[NDArray[Any]]] = {}
        for name, foreign_name, groups in self._present_or_required():
            our_axes = self.format.axes[name].split()
            parts.setdefault(name, []).append(_reordered(our_axes, name[-1], state[foreign_name], groups, sizes))
        return {
            name: parts[name][0] if not {"layer", "hidden_layer"} & set(axes.split()) else np.concatenate(parts[name])
            for name, axes in self.format.axes.items()
            if name in parts
        }


def _reordered(
    our_axes: list[str], letter: str, tensor: NDArray[Any], groups: Groups, sizes: Mapping[str, int]
) -> NDArray[Any]:
    """Rearrange a tensor to our axis order, with a leading axis of layers if our tensor has one.

    If the tensor contains W_Q, W_K and W_V, or their biases, return the part that `letter` names: Q, K or V.
    """
    axes = [axis for group in groups for axis in group]
    present_axes = [axis for axis in our_axes if axis in axes]
    target = ["qkv", *present_axes] if "qkv" in axes else present_axes
    grouped = " ".join(f"({' '.join(group)})" if len(group) > 1 else group[0] for group in groups)
    # einops computes the size of one of several merged axes from the sizes of the others
    group_sizes: dict[str, int] = {}
    for group in (group for group in groups if len(group) > 1):
        known = [axis for axis in group if axis in sizes]
        group_sizes |= {axis: sizes[axis] for axis in (known if len(known) < len(group) else group[:-1])}
    result = rearrange(tensor, f"{grouped} -> {' '.join(target)}", **group_sizes)
    if "qkv" in axes:
        result = result["QKV".index(letter)]
    return result[None] if our_axes[0] in ("layer", "hidden_layer") and our_axes[0] not in axes else result


def formats() -> list[Format]:
    """Return the built-in formats."""
    return [Format(path) for path in sorted(FOLDER.glob("*.yaml"))]


def best_match(
    state: StateDict,
    sizes: Mapping[str, int],
    mapping_file: Path | None,
    path: Path,
    absent: frozenset[str] = frozenset(),
) -> FormatMatch:
    """Find the format of a state dict.

    Args:
        state: state dict with foreign names.
        sizes: sizes of axes that are known from elsewhere, such as `head`, the number of heads.
        mapping_file: the user's mapping file; None to try the built-in formats instead.
        path: path of the file that contains the state dict, for messages.
        absent: our names of the tensors that this network is known to lack.

    Returns:
        The match with the fewest missing tensors. Among equal matches, the one with the fewest problems, then the one
        with the fewest ignored tensors.

    Raises:
        UserError: no format matches; the message says what is missing or wrong for the closest format.
    """
    matches = [format.match(state, sizes, absent) for format in ([Format(mapping_file)] if mapping_file else formats())]
    best = min(matches, key=lambda match: (len(match.missing), len(match.problems), len(match.ignored)))
    if best.problems:
        names = ", ".join(list(state)[:12]) + (", …" if len(state) > 12 else "")
        hint = "" if mapping_file else " For other names and axis orders, write a mapping file and give it with --map."
        if len(best.missing) > len(best.format.required) // 2:
            expected = f"the mapping file {mapping_file}" if mapping_file else "any known format"
            raise UserError(f"{path}: the tensor names do not match {expected}: {names}.{hint}")
        raise UserError(
            f"{path}, read as {best.format.title}: {best.problems[0]}. The file has the tensors {names}.{hint}"
        )
    return best
