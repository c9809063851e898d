"""The training step: forward and backward of one pass after the other, then the update."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from torch import Tensor

from ..upstream import accumulative_counts, uncounted
from .carried import Carried
from .clock import current_iteration
from .following import Followers
from .forward import forward_pass
from .local_losses import head_names
from .modular import Modular
from .processes import ALONE, Processes
from .schedule import Pass
from .schedule_checks import check_new_kind, kind_of_step
from .update import ModuleUpdates, module_updates


def local_train_step(
    model: Modular,
    data: dict[str, Any],
    optim_wrapper: OptimWrapper,
    processes: Processes = ALONE,
) -> dict[str, Tensor]:
    """Train on one batch, pass by pass, and update all parameters that train here.

    A pass's backward pass runs before the next one's forward pass, outside of autocast, so that its
    activations are gone by then. Accumulation, loss scaling and clipping behave as for
    one loss: all backward passes count as one. With ``model.update_per_module`` a module's
    parameters are updated, and its gradients gone, after its last pass; for all else that still is
    one update, at the end.

    Of a pipeline's step a process takes the passes of its own modules: it receives what they start
    from, and sends what they leave before the backward pass, in which the next process begins.

    Args:
        model: The segmentor; K=1 is one module with all losses.
        data: What the data loader yields.
        optim_wrapper: Updates the parameters of all modules.
        processes: Say which modules run here, and make the gradients those of all processes. While
            gradients accumulate, give one that does not.

    Returns:
        Detached values to log: the total ``loss``, then each module's.

    Raises:
        ValueError: With ``update_per_module``, a module gave gradient to an earlier one.
    """
    with optim_wrapper.optim_context(model):
        data = dict(model.data_preprocessor(data, True))
    passes = step_passes(model, optim_wrapper)
    updates, followers = module_updates(model, optim_wrapper, passes), Followers(model)
    with followers.watching(optim_wrapper):
        log = _run_passes(model, data, optim_wrapper, processes, passes, updates)
        # update_params is one backward pass and, when due, the update, with no place between them
        # to finish gradients in. So it gets the total as a leaf: that counts the step, reaches no
        # parameter, and leaves clipping, unscaling and accumulation to the wrapper.
        optim_wrapper.update_params(log.total.clone().requires_grad_())
    followers.follow()
    return log.values()


def _run_passes(
    model: Modular,
    data: dict[str, Any],
    optim_wrapper: OptimWrapper,
    processes: Processes,
    passes: Sequence[Pass],
    updates: ModuleUpdates | None,
) -> StepLog:
    """Run all passes of a step, forward and backward; their gradients are final at the end."""
    starts = {processes.stages.start: _first_start(model, data, processes)}
    log = StepLog()
    unaveraged: set[int] = set()
    for position, run in enumerate(passes):
        if run.first not in processes.stages:
            continue
        with optim_wrapper.optim_context(model), processes.running():
            if model.local_modules:
                losses = forward_pass(model, passes, position, starts)
            else:  # K=1 is the parent's
                losses = model.loss(**data)
        if run.last + 1 in starts and run.last + 1 not in processes.stages:
            processes.send(starts.pop(run.last + 1))
        if not losses:  # nothing trains, or a frozen module without auxiliary heads
            continue
        loss = log.add(*model.parse_losses(losses))
        del losses
        if loss.requires_grad:  # else its heads are frozen too
            later = passes[position + 1 :]
            ending = set(run.modules) - {index for other in later for index in other.modules}
            unaveraged = unaveraged.union(run.modules) - ending
            # Counted once for the whole step, by the caller.
            scaling = nullcontext() if updates is None else updates.scaling(run)
            with processes.averaging(ending), uncounted(optim_wrapper), scaling:
                optim_wrapper.backward(optim_wrapper.scale_loss(loss))
            if updates is not None and later:
                processes.finish(ending)
                updates.update(ending)
        del loss
    if unaveraged:  # the later passes that hold these modules gave no gradient
        with processes.averaging(unaveraged):
            pass
    processes.finish()
    if updates is not None:
        updates.check()
    model.running_module = model.running_pass = None
    return log


def _first_start(model: Modular, data: dict[str, Any], processes: Processes) -> Carried:
    """Return what this process's first module starts from.

    In a pipeline an image that no module of this process reads is gone afterwards; plans for one
    process count it throughout.
    """
    carried = Carried(data['inputs'], data['inputs'], data['data_samples'])
    if model.local_modules and len(processes.stages) <= len(model.boundaries):
        del data['inputs']
    return processes.receive(carried)


class StepLog:
    """Detached values of a step; losses that several passes give are added up."""

    def __init__(self) -> None:
        self._totals: list[Tensor] = []
        self._values: dict[str, Tensor] = {}

    def add(self, loss: Tensor, values: dict[str, Tensor]) -> Tensor:
        """Take what ``parse_losses`` returns for a pass; return its loss as it is."""
        self._totals.append(loss.detach())
        for name, value in values.items():
            if name in self._values and 'loss' in name:
                value = self._values[name] + value
            self._values[name] = value.detach()
        return loss

    @property
    def total(self) -> Tensor:
        """Return the sum of all passes."""
        return torch.stack(self._totals).sum()

    def values(self) -> dict[str, Tensor]:
        """Return the total as ``loss``, then all else."""
        return {**self._values, 'loss': self.total}


def step_passes(model: Modular, optim_wrapper: OptimWrapper) -> Sequence[Pass]:
    """Return the passes of the step that is due; steps of one update have those of its last."""
    iteration, accumulated = current_iteration(), accumulative_counts(optim_wrapper)
    last = iteration - iteration % accumulated + accumulated - 1
    passes = model.schedule(last, len(model.boundaries) + 1)
    kind = kind_of_step(passes)
    if kind not in model.kinds_of_step and model.boundaries:
        message = check_new_kind(passes, head_names(model))
        MMLogger.get_current_instance().warning(message)
        model.kinds_of_step.add(kind)
    return passes
