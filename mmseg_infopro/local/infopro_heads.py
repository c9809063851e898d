"""InfoPro's local heads by a word: fitted to a network's FLOPs, or the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

TASK: dict[str, dict[str, Any]] = {
    'fitted': dict(type='FittedTaskHead'),
    'paper': dict(type='FCNHead', num_convs=1, concat_input=False),
}
"""Classifies pixels; the paper's has half as many channels as the border, its 512 of 1024."""
RECONSTRUCTION: dict[str, dict[str, Any]] = {
    'fitted': dict(type='FittedReconstructionHead', loss_weight=1.5),
    'paper': dict(type='ReconstructionHead', loss_weight=1.5),
}
"""Rebuilds the image, with the weight of the paper's K=2 run."""
DEFAULT = 'fitted'


def default_heads(word: str = DEFAULT) -> list[dict[str, Any]]:
    """Return InfoPro's local heads for segmentation.

    Raises:
        ValueError: There are none of this name.
    """
    return [TASK[check_word(word)].copy(), RECONSTRUCTION[word].copy()]


def check_word(word: str) -> str:
    """Return a word for InfoPro's heads.

    Raises:
        ValueError: It is none.
    """
    if word not in TASK:
        raise ValueError(f'heads must be {" or ".join(TASK)}, or a list of heads, got {word!r}')
    return word


def read_heads(heads: Any) -> Any:
    """Return the list of heads that a setting is: that of a word, else the setting."""
    return default_heads(heads) if isinstance(heads, str) else heads


def in_form(heads: Sequence[Any], word: str) -> list[Any]:
    """Return heads with InfoPro's in the form that a word names."""
    other = {
        str(forms[each]): forms[check_word(word)]
        for forms in (TASK, RECONSTRUCTION)
        for each in forms
    }
    return [dict(other.get(str(dict(head)), head)) for head in heads]
