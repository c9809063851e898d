"""Which parameters the passes of a step reach."""

from __future__ import annotations

from collections.abc import Sequence

from .local_losses import border_heads, head_name
from .modular import Modular
from .module import module_parameters
from .names import boundary_key
from .schedule import AUXILIARY, Pass


def reached_parameters(model: Modular, passes: Sequence[Pass]) -> frozenset[str]:
    """Return the names of the parameters that get gradient from some passes.

    Those of their modules, up to the last one with a loss that counts, without heads whose losses
    do not.
    """
    names: set[str] = set()
    for run in passes:
        weighed = {key if isinstance(key, int) else key[0] for key, w in run.weights.items() if w}
        for index in range(run.first, max(weighed, default=-1) + 1) if run.trains else ():
            silent = tuple(_silent_paths(model, index, run))
            names |= {n for n in module_parameters(model, index) if not n.startswith(silent)}
    return frozenset(names)


def _silent_paths(model: Modular, index: int, run: Pass) -> list[str]:
    """Return the beginnings of the names of heads that do not run."""
    paths = []
    if index < len(model.boundaries):
        key = boundary_key(model.boundaries[index])
        paths += [
            f'local_heads.{key}.{number}.'
            for number, head in enumerate(border_heads(model, index))
            if not run.weight(index, head_name(head))
        ]
    if not run.weight(index, AUXILIARY):
        paths.append('auxiliary_head.')
    return paths
