"""Findings about an imported network: settings with their values and where each value comes from."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Source = Literal["file", "mapping file", "option", "tensors", "inferred", "assumed"]


class Finding(NamedTuple):
    """A setting of an imported network.

    Attributes:
        setting: name of the setting, such as `activation`.
        value: the value, in words or numbers.
        source: `file`, `mapping file`, `option`, `tensors` (their names and shapes), `inferred` (from what the network
            computes, such as the number of its logits, its answers or losses), or `assumed`.
        detail: the place in the file, the evidence, or the option that changes an assumption.
    """

    setting: str
    value: str
    source: Source
    detail: str = ""

    @property
    def origin(self) -> str:
        """The source with its detail, for a table."""
        return f"{self.source}: {self.detail}" if self.detail else self.source


class Choice(NamedTuple):
    """A value with its source and detail, as in `Finding`; `finding` adds the name of the setting."""

    value: Any
    source: Source
    detail: str = ""

    def finding(self, setting: str, text: str | None = None) -> Finding:
        """Return the choice as a finding.

        Args:
            setting: name of the setting.
            text: the value in words; by default, the value itself.
        """
        return Finding(setting, str(self.value) if text is None else text, self.source, self.detail)
