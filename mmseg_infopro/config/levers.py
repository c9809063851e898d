"""Levers: single things that a training step may do to need less."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from mmseg.registry import OPTIMIZERS

from ..local.settings import LocalSettings
from ..local_heads.arguments import constructor_arguments
from .eight_bit import leave_eight_bits, use_eight_bits
from .step import updates_per_module

BIT_FOR_BIT = 'bit for bit'
TO_ROUNDING = 'to rounding'
IN_8_BITS = 'in 8 bits'
"""How exactly a step's gradients and weights are those of the plain step; the last is a close
other training: the same gradients of the same weights, and averages of them that are rounded."""


def _anywhere(cfg: Config) -> bool:
    return True


@dataclass(frozen=True)
class Lever:
    """One thing that a step may do to need less.

    Attributes:
        summary: In a line, what it does.
        exact: :data:`BIT_FOR_BIT` or :data:`TO_ROUNDING`; else what it is in.
        settings: What it sets in a config, by dotted key.
        fits: Whether a config can have it.
        needs: What one that cannot lacks.
        change: Changes a config beyond ``settings``, and raises a ValueError where it cannot.
        change_back: Undoes that, where it was done.
    """

    summary: str
    exact: str
    settings: Mapping[str, Any]
    fits: Callable[[Config], bool] = _anywhere
    needs: str = ''
    change: Callable[[Config], None] | None = None
    change_back: Callable[[Config], None] | None = None

    def add(self, cfg: Config) -> None:
        """Add it to a config that it fits; what that says itself stays."""
        if self.fits(cfg):
            for key, value in self.settings.items():
                _holder(cfg, key).setdefault(_name(key), value)
            if self.change is not None:
                self.change(cfg)

    def remove(self, cfg: Config) -> None:
        """Take its settings out of a config, its own or others."""
        for key in self.settings:
            _holder(cfg, key).pop(_name(key), None)
        if self.change_back is not None:
            self.change_back(cfg)

    def stands_in(self, cfg: Config) -> bool:
        """Whether a config has it, or cannot have it."""
        if not self.fits(cfg):
            return True
        for key, value in self.settings.items():
            found = _holder(cfg, key).get(_name(key))
            is_plan = value == 'auto' and isinstance(found, (list, tuple))
            if found != value and not is_plan:
                return False
        return True


def _name(key: str) -> str:
    return key.rpartition('.')[2]


def _holder(cfg: Config, key: str) -> Any:
    """Return the mapping in which a dotted key is, or would be."""
    holder: Any = cfg
    for name in key.split('.')[:-1]:
        holder = holder.get(name) or {}
    return holder


def _steps_by_module(cfg: Config) -> bool:
    return updates_per_module(cfg, LocalSettings(num_modules=1, update_per_module=True))


def _has_fused_step(cfg: Config) -> bool:
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    kind = optimizer.get('type')
    found = OPTIMIZERS.get(kind) if isinstance(kind, str) else kind
    if not isinstance(found, type) or not found.__module__.startswith(torch.optim.__name__):
        return False
    excluded = optimizer.get('foreach') or optimizer.get('differentiable')
    return 'fused' in constructor_arguments(found) and not excluded


def _runs_eagerly(cfg: Config) -> bool:
    return not (cfg.get('compile') or cfg.model.get('local', {}).get('compile'))


FUSES = "an optimizer of torch's with a fused step, and neither foreach nor differentiable"
EAGER = 'no torch.compile'

LEVERS: dict[str, Lever] = {
    'chunked losses': Lever(
        "every decode head's softmax cross-entropy sample by sample, without full-size logits of "
        "the batch; ASPP's branches one by one",
        TO_ROUNDING,
        {'model.local.chunked_losses': True},
    ),
    'update per module': Lever(
        'the optimizer steps after each local module, whose gradients are then gone',
        BIT_FOR_BIT,
        {'model.local.update_per_module': True},
        _steps_by_module,
        'no clipping, no accumulation, and an optimizer that updates each parameter by itself',
    ),
    'fused step': Lever(
        'the optimizer step in one kernel, without temporaries as large as the gradients',
        TO_ROUNDING,
        {'optim_wrapper.optimizer.fused': True},
        _has_fused_step,
        FUSES,
    ),
    'looped step': Lever(
        'the optimizer step one parameter after the other, with temporaries of one at a time: many '
        'small kernels, where no fused step can be had',
        TO_ROUNDING,
        {'optim_wrapper.optimizer.foreach': False, 'optim_wrapper.optimizer.fused': False},
        _has_fused_step,
        FUSES,
    ),
    '8-bit optimizer': Lever(
        "SGD, Adam or AdamW with a byte for each value of their averages, by bitsandbytes, Adam's "
        'by torchao',
        IN_8_BITS,
        {},
        change=use_eight_bits,
        change_back=leave_eight_bits,
    ),
    'cheap recompute': Lever(
        'norms, activations and additions are made again in the backward pass, no convolution or '
        'matrix product is',
        BIT_FOR_BIT,
        {'model.local.recompute': 'cheap'},
        _runs_eagerly,
        EAGER,
    ),
    'offload': Lever(
        'what the modules save for their backward passes waits in the memory of the host: its '
        'traffic is the cost, and on a CPU it saves nothing',
        BIT_FOR_BIT,
        {'model.local.offload': True},
    ),
    'planned recompute': Lever(
        'of every group of units what costs fewest FLOPs per byte is made again: as much as a cap '
        'needs, without one as much as can be',
        BIT_FOR_BIT,
        {'model.local.recompute': 'auto'},
        _runs_eagerly,
        EAGER,
    ),
}
"""All levers by name. A package may add its own, and name it in a recipe."""
