"""Sees which parameters get gradient, and from which passes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .gradient_faults import FirstUpdate


class GradientWatch:
    """Sees every gradient that reaches a trainable parameter of a model, until it is stopped.

    An optimizer wrapper zeroes the gradients as soon as it has used them.

    Args:
        model: What trains.
        expected: Names of the parameters that are to get gradient; all trainable ones if None.
    """

    def __init__(self, model: nn.Module, expected: Collection[str] | None = None) -> None:
        self._model = model
        self._expected = expected
        self._owners = owners(model)
        self._sources: dict[str, set[int | None]] = {}
        self._sums: dict[str, Tensor] = {}
        # What is on meta trains in another process.
        named = model.named_parameters()
        self._trainable = {n: p for n, p in named if p.requires_grad and not p.is_meta}
        self._handles = [
            parameter.register_post_accumulate_grad_hook(partial(self._see, name))
            for name, parameter in self._trainable.items()
        ]

    def _see(self, name: str, parameter: Tensor) -> None:
        running, owner = getattr(self._model, 'running_pass', None), self._owners.get(name)
        # A pass is the graph of its modules; gradient from any other comes over a border.
        source = None if running is None else owner if owner in running else running[-1]
        self._sources.setdefault(name, set()).add(source)
        if parameter.grad is not None:
            # Finite as the gradient is, and without a temporary tensor of its size.
            self._sums[name] = parameter.grad.sum(dtype=torch.float32)

    def report(self, optimized: Sequence[nn.Parameter]) -> list[FirstUpdate]:
        """Return what was seen.

        Args:
            optimized: The parameters in the optimizer.
        """
        ids = {id(parameter) for parameter in optimized}
        return [
            FirstUpdate(
                name=name,
                owner=self._owners.get(name),
                sources=frozenset(self._sources.get(name, ())),
                finite=name not in self._sums or bool(self._sums[name].isfinite()),
                optimized=id(parameter) in ids,
                expected=self._expected is None or name in self._expected,
            )
            for name, parameter in self._trainable.items()
            if parameter.requires_grad  # another hook may have frozen it since
        ]

    def stop(self) -> None:
        """Take the hooks off the parameters."""
        for handle in self._handles:
            handle.remove()


def owners(model: Any) -> dict[str, int]:
    """Return the local module that each parameter belongs to, by name; none without any."""
    boundaries = getattr(model, 'boundaries', ())
    num_modules = len(boundaries) + 1 if boundaries else 0
    return {name: i for i in range(num_modules) for name in model.module_parameters(i)}
