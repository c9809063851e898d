"""Puts an optimizer of 8 bits in the place of a config's own."""

from __future__ import annotations

from mmengine.config import Config, ConfigDict

from ..local.eight_bit import needed_package
from .walk import type_name

OF_8_BITS = {'SGD': 'SGD8bit', 'AdamW': 'AdamW8bit', 'Adam': 'torchao_Adam8bit'}
"""For optimizers of torch; bitsandbytes' own ``Adam8bit`` decays weights as AdamW does."""
OF_TORCH = ('foreach', 'fused', 'capturable', 'differentiable')
"""Arguments on how torch's own steps run."""
KEY = 'optimizer_before'
"""In ``model.local``: what the optimizer had in place of the one of 8 bits."""
UNHEARD = ('nesterov', 'dampening', 'maximize')
"""Arguments that the optimizers of 8 bits lack, or take and do not mind."""


def use_eight_bits(cfg: Config) -> None:
    """Let a config's optimizer keep its averages in 8 bits; one that does so already stays.

    Raises:
        ValueError: There is none for it, or not with its arguments, or its package is not there.
    """
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    kind = type_name(optimizer) if 'type' in optimizer else None
    if str(kind).endswith('8bit'):
        return
    if kind not in OF_8_BITS:
        raise ValueError(
            f'the lever 8-bit-optimizer stands in for {", ".join(OF_8_BITS)}, got {kind} in '
            'optim_wrapper.optimizer'
        )
    lost = [key for key in UNHEARD if optimizer.get(key)]
    if lost or (kind == 'SGD' and not optimizer.get('momentum')):
        what = f'no {lost[0]}' if lost else 'a momentum, else SGD keeps nothing'
        raise ValueError(f'the lever 8-bit-optimizer needs {what} in optim_wrapper.optimizer')
    needed = needed_package(OF_8_BITS[kind])
    if needed is not None:
        raise ValueError(f'the lever 8-bit-optimizer: {needed}')
    replaced = {key: optimizer.pop(key) for key in OF_TORCH if key in optimizer}
    optimizer['type'] = OF_8_BITS[kind]
    cfg.model.local[KEY] = ConfigDict(type=kind, **replaced)


def leave_eight_bits(cfg: Config) -> None:
    """Give a config's optimizer back what :func:`use_eight_bits` replaced.

    One of 8 bits that the config names itself stays, and so does one that was changed since.
    """
    before = cfg.model.local.pop(KEY, None)
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    if before and optimizer.get('type') == OF_8_BITS.get(before['type']):
        optimizer.update(before)
