"""Parameters that a run thaws: which modules are cut for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn


def may_thaw(name: str, patterns: Sequence[str]) -> bool:
    """Whether a parameter is, is below or fits one of the names of ``local.may_thaw``."""
    return any(
        name == pattern or name.startswith(f'{pattern.rstrip(".")}.') or fnmatchcase(name, pattern)
        for pattern in patterns
    )


def check_patterns(model: nn.Module, patterns: Sequence[str]) -> None:
    """Check that every name of ``local.may_thaw`` is one of the model's parameters, or of layers.

    Raises:
        ValueError: One is not.
    """
    names = [name for name, _ in model.named_parameters()]
    for pattern in patterns:
        if not any(may_thaw(name, [pattern]) for name in names):
            first = next((name for name in names if name.startswith('backbone.')), 'backbone')
            raise ValueError(
                f'local.may_thaw names {pattern!r}, and no parameter of the model has this name, '
                f'is below it or fits it; they are called as {first}'
            )


def thaw(model: nn.Module, patterns: Sequence[str]) -> None:
    """Let the parameters of a model that is only measured require gradient, if they ever may."""
    for name, parameter in model.named_parameters() if patterns else ():
        if may_thaw(name, patterns):
            parameter.requires_grad_()


def check_thawed(model: Any, thawed: Iterable[str]) -> None:
    """Check that what begins to train in a run belongs to a module that can.

    Args:
        model: A segmentor.
        thawed: Names of parameters that began to require gradient.

    Raises:
        ValueError: It belongs to a local module that was frozen when the model was built: that has
            no local heads, and was not planned for.
    """
    frozen = [module.index for module in getattr(model, 'local_modules', ()) if module.frozen]
    owners: Mapping[str, int] = {
        name: index
        for index in frozen
        if index < len(model.boundaries)
        for name in model.module_parameters(index)
        if name.startswith('backbone.')
    }
    stuck = [name for name in thawed if name in owners]
    if stuck:
        raise ValueError(
            f'{len(stuck)} parameter(s) of local module {owners[stuck[0]]} have begun to require '
            f'gradient, as {stuck[0]}, but the module was frozen when the model was built: it has '
            'no local heads, and was not planned for; name what a run may thaw in '
            f"model.local.may_thaw, as ['{'.'.join(stuck[0].split('.')[:2])}']"
        )
