"""The peak of one training step, found without running it: a dry step on fake tensors."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from copy import deepcopy
from io import StringIO
from itertools import chain
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch.nn import Parameter

from ..upstream import FakeTensorMode
from .dry_optimizers import with_dry_optimizer
from .fake import UpperBounds, fake_copy
from .gpu_rules import gpu_rules
from .peaks import DryStep, PeakBytes
from .tracker import MemoryTracker, Watch
from .undrawn import kept_generators


class DryAmpOptimWrapper(OptimWrapper):
    """Autocasts like ``AmpOptimWrapper``, which refuses to be built without an accelerator."""

    def __init__(
        self,
        dtype: str | torch.dtype | None = None,
        loss_scale: Any = None,
        use_fsdp: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._dtype = autocast_dtype(dtype)
        # Nothing is scaled; what depends on whether it would be asks this.
        is_on = loss_scale.get('enabled', True) if isinstance(loss_scale, dict) else True
        self.loss_scaler = torch.amp.GradScaler('cpu', enabled=is_on)

    @contextmanager
    def optim_context(self, model: torch.nn.Module) -> Iterator[None]:
        """Run the forward pass in the reduced precision."""
        with super().optim_context(model), torch.autocast('cpu', dtype=self._dtype):
            yield


class DryLocalAmpOptimWrapper(DryAmpOptimWrapper):
    """The same for ``LocalAmpOptimWrapper``, whose modules are updated one by one."""

    def scaling(self, module: int) -> AbstractContextManager[None]:
        """Scale nothing."""
        return nullcontext()

    def step_module(
        self,
        module: int,
        optimizer: torch.optim.Optimizer,
        clip: Callable[[], None] | None = None,
    ) -> None:
        """Update one module."""
        if clip is not None:
            clip()
        optimizer.step()


DRY_WRAPPERS = {
    'AmpOptimWrapper': DryAmpOptimWrapper,
    'LocalAmpOptimWrapper': DryLocalAmpOptimWrapper,
}
"""What stands for optimizer wrappers that need an accelerator."""


def without_accelerator(optim_wrapper_cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a config's ``optim_wrapper`` that can be built on a CPU."""
    wrapper_cfg = deepcopy(dict(optim_wrapper_cfg))
    kind = wrapper_cfg.get('type')
    kind = kind if isinstance(kind, str) else getattr(kind, '__name__', '')
    if kind in DRY_WRAPPERS:
        wrapper_cfg['type'] = DRY_WRAPPERS[kind]
    return wrapper_cfg


def autocast_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    """Return what ``AmpOptimWrapper`` computes in, given its ``dtype``; None if there is none."""
    return dtype if isinstance(dtype, torch.dtype) else getattr(torch, dtype or 'float16', None)


def dry_step(
    model: BaseModel,
    optim_wrapper_cfg: ConfigDict,
    make_batch: Callable[[], dict[str, Any]],
) -> DryStep:
    """Measure a ``train_step``; the only kind of :func:`dry_steps`."""
    (step,) = dry_steps(model, optim_wrapper_cfg, make_batch, {'': nullcontext})
    return step


def dry_steps(
    model: BaseModel,
    optim_wrapper_cfg: ConfigDict,
    make_batch: Callable[[], dict[str, Any]],
    kinds: Mapping[str, Callable[[], AbstractContextManager[None]]],
    watch: Watch | None = None,
    prepare: Callable[[BaseModel], None] = lambda model: None,
) -> list[DryStep]:
    """Measure each kind of ``train_step`` of a throw-away fake copy of ``model``.

    A step is that of the steady state: the optimizer's state of all parameters that have got a
    gradient, in earlier kinds or in this one, exists from the start. Bytes are those of tensors,
    exact up to data-dependent sizes, which count with their upper bound; what a device adds
    (context, workspaces, fragmentation) is not in them. Mixed precision is that of a GPU.

    Args:
        model: Built on real tensors; not touched.
        optim_wrapper_cfg: The config's ``optim_wrapper``.
        make_batch: Makes what a data loader yields; called under a ``FakeTensorMode``.
        kinds: In the order of a run, the context that makes a step one of that kind.
        watch: Is told of every operation, as :class:`~.traffic.Traffic`.
        prepare: Is called with the copy in training mode, which may have frozen parameters anew.
    """
    mode = FakeTensorMode()
    fake_model = fake_copy(model, mode)
    fake_model.train()
    prepare(fake_model)
    steps: list[DryStep] = []
    with mode, gpu_rules(), kept_generators(), UpperBounds():
        optim_wrapper = fake_optim_wrapper(fake_model, optim_wrapper_cfg)
        state = make_state(optim_wrapper)
        tracker = MemoryTracker(lambda: getattr(fake_model, 'running_module', None), watch)
        tracker.track(fake_model.buffers(), 'buffers')
        tracker.track(fake_model.parameters(), 'parameters')
        tracker.track(chain(*state.values()), 'optimizer_state')
        trained = tracker.track_gradients(fake_model)
        with tracker:
            batch = make_batch()  # kept during the step, as a Runner keeps it
            for kind, context in kinds.items():
                if steps:
                    gc.collect()
                tracker.restart()
                with context():
                    for _ in range(optim_wrapper_cfg.get('accumulative_counts', 1)):
                        fake_model.train_step(batch, optim_wrapper)
                unused = [tensors for p, tensors in state.items() if p not in trained]
                steps.append(measured_step(tracker, sum(t.nbytes for t in chain(*unused)), kind))
    return steps


def make_state(optim_wrapper: OptimWrapper) -> dict[Parameter, list[torch.Tensor]]:
    """Return what the optimizer keeps of each parameter, made by an update."""
    optimizer = optim_wrapper.optimizer
    for group in optimizer.param_groups:
        for parameter in group['params']:
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return {
        parameter: [value for value in values.values() if torch.is_tensor(value)]
        for parameter, values in optimizer.state.items()
    }


def measured_step(tracker: MemoryTracker, unused: int, kind: str) -> DryStep:
    """Return a step.

    Args:
        tracker: Of the step.
        unused: Bytes of the optimizer's state that was there and would not be in a run.
        kind: Of the step.
    """
    at_peak = tracker.peak_bytes
    peak = PeakBytes(
        at_peak.total() - unused,
        at_peak['parameters'],
        at_peak['gradients'],
        at_peak['optimizer_state'] - unused,
    )
    timeline = tuple(alive - unused for alive in tracker.timeline)
    labels = tuple(tracker.labels)
    return DryStep(peak, timeline, labels, tracker.flops, kind, tracker.host_bytes)


def dry_step_gradients(
    model: BaseModel, optim_wrapper_cfg: ConfigDict, make_batch: Callable[[], dict[str, Any]]
) -> set[str]:
    """Return the names of the parameters that get a gradient in a ``train_step`` on fake tensors.

    Args:
        model: As for :func:`dry_step`.
        optim_wrapper_cfg: As for :func:`dry_step`.
        make_batch: As for :func:`dry_step`.
    """
    mode = FakeTensorMode()
    fake_model = fake_copy(model, mode)
    fake_model.train()
    names: set[str] = set()
    with mode, UpperBounds():
        optim_wrapper = fake_optim_wrapper(fake_model, optim_wrapper_cfg)
        for name, parameter in fake_model.named_parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(lambda _, name=name: names.add(name))
        fake_model.train_step(make_batch(), optim_wrapper)
    return names


def fake_optim_wrapper(model: BaseModel, optim_wrapper_cfg: ConfigDict) -> OptimWrapper:
    """Build a config's ``optim_wrapper`` for a fake model, to update it as on a GPU."""
    with _silence():
        wrapper_cfg = with_dry_optimizer(without_accelerator(optim_wrapper_cfg))
        optim_wrapper = build_optim_wrapper(model, wrapper_cfg)
    for group in optim_wrapper.param_groups:
        # On a GPU torch updates all parameters at once by default, with temporaries for all.
        if group.get('foreach', False) is None and not group.get('fused'):
            group['foreach'] = True
    return optim_wrapper


@contextmanager
def _silence() -> Iterator[None]:
    """Context without mmengine's lines on each parameter, which are for runs."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        logger.setLevel(level)


def peak_beyond(
    run: Callable[[], Any], existing: Iterable[torch.Tensor] = (), watch: Watch | None = None
) -> int:
    """Return the most bytes that ``run`` has alive at once, beyond those alive before it.

    To be called inside a ``FakeTensorMode``.

    Args:
        run: What is measured.
        existing: Tensors that live longer; a view of any other earlier tensor counts in full.
        watch: Is told of every operation.
    """
    tracker = MemoryTracker(watch=watch)
    tracker.track(existing, 'existing')
    with UpperBounds(), tracker:
        run()
    return tracker.peak_bytes.total() - tracker.peak_bytes['existing']
