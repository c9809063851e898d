"""The local training step: forward and backward of one module after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from mmengine.optim import OptimWrapper
from mmseg.utils import SampleList
from torch import Tensor

from .processes import ALONE, Processes
from .update import module_updates

if TYPE_CHECKING:
    from ..segmentors.encoder_decoder import InfoProEncoderDecoder

Losses = dict[str, Tensor]


def local_train_step(
    model: InfoProEncoderDecoder,
    data: dict[str, Any],
    optim_wrapper: OptimWrapper,
    processes: Processes = ALONE,
) -> dict[str, Tensor]:
    """Train every module on one batch, and update all parameters.

    A module's backward pass runs before the next module's forward pass, outside of autocast, so
    that its activations are gone by then. Accumulation, loss scaling and clipping behave as for one
    loss: all modules' backward passes count as one. With
    ``model.update_per_module`` a module's parameters are updated, and its gradients gone, before
    the next one runs; for all else that still is one update, at the end.

    Args:
        model: The segmentor; K=1 is one module with all losses.
        data: What the data loader yields.
        optim_wrapper: Updates the parameters of all modules.
        processes: Make the gradients those of all processes. While gradients accumulate, give one
            that does not.

    Returns:
        Detached values to log: the total ``loss``, then each module's.

    Raises:
        ValueError: With ``update_per_module``, a module gave gradient to an earlier one.
    """
    with optim_wrapper.optim_context(model):
        data = model.data_preprocessor(data, True)
    module_losses = _module_losses(model, **data)
    log_vars: dict[str, Tensor] = {}
    module_totals: list[Tensor] = []
    updates = module_updates(model, optim_wrapper)
    for index in range(len(model.boundaries) + 1):
        with optim_wrapper.optim_context(model):
            losses = next(module_losses)
        if not losses:  # a frozen module without auxiliary heads
            continue
        loss, module_log_vars = model.parse_losses(losses)
        del losses
        module_totals.append(loss.detach())
        module_log_vars.pop('loss')
        log_vars |= {name: value.detach() for name, value in module_log_vars.items()}
        if loss.requires_grad:  # else its heads are frozen too
            with processes.averaging([index]):
                backward_uncounted(optim_wrapper, loss)
            if updates is not None and index < len(model.boundaries):
                processes.finish([index])
                updates.update(index)
    processes.finish()
    if updates is not None:
        updates.check()
    total = torch.stack(module_totals).sum()
    model.running_module = None
    # update_params is one backward pass and, when due, the update, with no place between them to
    # finish gradients in. So it gets the total as a leaf: that counts the step, reaches no
    # parameter, and leaves clipping, unscaling and accumulation to the wrapper.
    optim_wrapper.update_params(total.clone().requires_grad_())
    return {'loss': total, **log_vars}


def _module_losses(
    model: InfoProEncoderDecoder, inputs: Tensor, data_samples: SampleList
) -> Iterator[Losses]:
    if model.local_modules:
        yield from model.module_losses(inputs, data_samples)
    else:
        yield model.loss(inputs, data_samples)


def backward_uncounted(optim_wrapper: OptimWrapper, loss: Tensor) -> None:
    """Accumulate the gradients of one of several losses of a step.

    ``OptimWrapper.backward`` counts its calls, and the count drives gradient accumulation and
    ``should_update``; a step must count once, for all of its losses.
    """
    count = optim_wrapper._inner_count
    optim_wrapper.backward(optim_wrapper.scale_loss(loss))
    optim_wrapper._inner_count = count
