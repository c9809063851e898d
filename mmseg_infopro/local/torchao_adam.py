"""torchao's Adam of 8 bits, for mmengine's schedulers and for checkpoints of plain tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim import Optimizer
from torchao import optim
from torchao.optim.subclass_8bit import OptimState8bit

TENSORS, SIGNED = ('codes', 'scale', 'qmap'), 'signed'
"""Of an average of 8 bits in a checkpoint."""


class _PlainOutside(Optimizer):
    """To be put before an optimizer of torchao.

    Between steps its learning rates are numbers, as a scheduler sets them; torchao's steps want
    tensors, so that they are compiled once. Its state is saved as plain tensors, which open without
    torchao and without running pickled code.
    """

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its learning rate stays a number."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        group['lr'] = float(group['lr'])

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient."""
        with self._tensor_rates():
            return super().step(closure)

    @contextmanager
    def _tensor_rates(self) -> Iterator[None]:
        rates = [group['lr'] for group in self.param_groups]
        try:
            for group, rate in zip(self.param_groups, rates, strict=True):
                group['lr'] = torch.tensor(rate, dtype=torch.float32)
            yield
        finally:
            for group, rate in zip(self.param_groups, rates, strict=True):
                group['lr'] = rate

    def state_dict(self) -> dict[str, Any]:
        """Return the state, averages of 8 bits as mappings of plain tensors."""
        found = super().state_dict()
        found['state'] = _each(found['state'], _as_plain)
        return found

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take what :meth:`state_dict` returned."""
        state = _each(state_dict['state'], _from_plain)
        super().load_state_dict({**state_dict, 'state': state})


def _each(state: Mapping[Any, Mapping[str, Any]], change: Callable[[Any], Any]) -> dict[Any, Any]:
    return {
        index: {key: change(value) for key, value in values.items()}
        for index, values in state.items()
    }


def _as_plain(value: Any) -> Any:
    if not isinstance(value, OptimState8bit):
        return value
    return {**{name: getattr(value, name) for name in TENSORS}, SIGNED: value.signed}


def _from_plain(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    # Copies: an optimizer writes into its state.
    return OptimState8bit(
        *(value[name].clone() for name in TENSORS), value[SIGNED], dtype=torch.float32
    )


class Adam8bit(_PlainOutside, optim.Adam8bit):
    """torchao's."""


class AdamW8bit(_PlainOutside, optim.AdamW8bit):
    """torchao's."""
