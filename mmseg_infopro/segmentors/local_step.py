"""The local training step: forward and backward of one module after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor

if TYPE_CHECKING:
    from .encoder_decoder import InfoProEncoderDecoder


def local_train_step(
    model: InfoProEncoderDecoder, data: dict[str, Any], optim_wrapper: OptimWrapper
) -> dict[str, Tensor]:
    """Train every module on one batch, and update the parameters once.

    A module's backward pass runs before the next module's forward pass, outside of autocast, so
    that its activations are gone by then. Accumulation, loss scaling, clipping and ``no_sync``
    behave as for one loss: all modules' backward passes count as one.

    Returns:
        Detached values to log: the total ``loss``, then each module's.
    """
    with optim_wrapper.optim_context(model):
        data = model.data_preprocessor(data, True)
    module_losses = model.module_losses(data['inputs'], data['data_samples'])
    log_vars: dict[str, Tensor] = {}
    module_totals: list[Tensor] = []
    for is_tail in [False] * len(model.boundaries) + [True]:
        with optim_wrapper.optim_context(model):
            losses = next(module_losses)
        loss, module_log_vars = model.parse_losses(losses)
        del losses
        module_totals.append(loss.detach())
        module_log_vars.pop('loss')
        log_vars |= {name: value.detach() for name, value in module_log_vars.items()}
        if is_tail:
            optim_wrapper.update_params(loss)
        else:
            backward_uncounted(optim_wrapper, loss)
    return {'loss': torch.stack(module_totals).sum(), **log_vars}


def backward_uncounted(optim_wrapper: OptimWrapper, loss: Tensor) -> None:
    """Accumulate the gradients of one of several losses of a step.

    ``OptimWrapper.backward`` counts its calls, and the count drives gradient accumulation and
    ``should_update``; a step must count once, for the last of its losses.
    """
    count = optim_wrapper._inner_count
    optim_wrapper.backward(optim_wrapper.scale_loss(loss))
    optim_wrapper._inner_count = count
