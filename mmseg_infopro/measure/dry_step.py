"""The peak of one training step, found without running it: a dry step on fake tensors."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass
from io import StringIO
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch.utils.flop_counter import FlopCounterMode

from ..upstream import FakeTensorMode
from .fake import UpperBounds, fake_copy
from .gpu_rules import gpu_rules
from .tracker import MemoryTracker
from .undrawn import kept_generators


@dataclass(frozen=True)
class PeakBytes:
    """The bytes alive at the moment of the step's peak, by what they hold."""

    total: int
    parameters: int
    gradients: int
    optimizer_state: int

    @property
    def activations(self) -> int:
        """Everything else: activations, temporaries, buffers and the batch itself."""
        return self.total - self.parameters - self.gradients - self.optimizer_state


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


def without_accelerator(optim_wrapper_cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a config's ``optim_wrapper`` that can be built on a CPU."""
    wrapper_cfg = deepcopy(dict(optim_wrapper_cfg))
    if wrapper_cfg.get('type') == 'AmpOptimWrapper':
        wrapper_cfg['type'] = DryAmpOptimWrapper
    return wrapper_cfg


def autocast_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    """Return what ``AmpOptimWrapper`` computes in, given its ``dtype``; None if there is none."""
    return dtype if isinstance(dtype, torch.dtype) else getattr(torch, dtype or 'float16', None)


@dataclass(frozen=True)
class DryStep:
    """What one steady-state training step needs.

    Attributes:
        peak: Its peak.
        timeline: Bytes alive after each operation of the step, in order.
        modules: Which local module ran then; None where the model has none.
        counted_flops: :attr:`flops`; None if they were not asked for.
    """

    peak: PeakBytes
    timeline: tuple[int, ...]
    modules: tuple[int | None, ...]
    counted_flops: int | None = None

    @property
    def flops(self) -> int:
        """Return the floating-point operations of forward and backward pass.

        Those of matrix products, convolutions and attention, as torch's ``FlopCounterMode`` counts.

        Raises:
            ValueError: They were not counted.
        """
        if self.counted_flops is None:
            raise ValueError('the FLOPs of this dry step were not counted: take it with flops=True')
        return self.counted_flops

    @property
    def peaks_in_update(self) -> bool:
        """Return whether the peak is in the optimizer's step, after the last local module."""
        position = max(range(len(self.timeline)), key=self.timeline.__getitem__)
        ran = any(module is not None for module in self.modules[:position])
        return ran and self.modules[position] is None

    def module_peaks(self) -> dict[int, int]:
        """Return the peak of each local module, in order."""
        peaks: dict[int, int] = {}
        for module, num_bytes in zip(self.modules, self.timeline, strict=True):
            if module is not None:
                peaks[module] = max(num_bytes, peaks.get(module, 0))
        return peaks


def dry_step(
    model: BaseModel,
    optim_wrapper_cfg: ConfigDict,
    make_batch: Callable[[], dict[str, Any]],
    flops: bool = False,
) -> DryStep:
    """Measure a ``train_step`` of a throw-away fake copy of ``model``.

    Steps are taken up to the second update of the parameters: the steady state, in which the
    optimizer's state exists from the start. Bytes are those of tensors, exact up to data-dependent
    sizes, which count with their upper bound; what a device adds (context, workspaces,
    fragmentation) is not in them. Mixed precision is that of a GPU.

    Args:
        model: Built on real tensors; not touched.
        optim_wrapper_cfg: The config's ``optim_wrapper``.
        make_batch: Makes what a data loader yields; called under a ``FakeTensorMode``.
        flops: Whether to count the FLOPs too, which takes a quarter longer.
    """
    mode = FakeTensorMode()
    fake_model = fake_copy(model, mode)
    fake_model.train()
    with mode, gpu_rules(), kept_generators():
        optim_wrapper = _fake_optim_wrapper(fake_model, optim_wrapper_cfg)
        tracker = MemoryTracker(lambda: getattr(fake_model, 'running_module', None))
        tracker.track(fake_model.buffers(), 'buffers')
        tracker.track(fake_model.parameters(), 'parameters')
        tracker.track_gradients(fake_model)
        with UpperBounds(), tracker:
            batch = make_batch()  # kept during the step, as a Runner keeps it
            num_steps = optim_wrapper_cfg.get('accumulative_counts', 1)
            # Counted in the first step: the counter's hooks hold tensors of recomputed graphs.
            counter = FlopCounterMode(display=False) if flops else None
            with counter or nullcontext():
                for _ in range(num_steps):
                    fake_model.train_step(batch, optim_wrapper)
            gc.collect()
            tracker.track(_state_tensors(optim_wrapper), 'optimizer_state')
            tracker.restart()
            for _ in range(num_steps):
                fake_model.train_step(batch, optim_wrapper)
    kinds = ('parameters', 'gradients', 'optimizer_state')
    peak = PeakBytes(tracker.peak_bytes.total(), *(tracker.peak_bytes[kind] for kind in kinds))
    counted = None if counter is None else counter.get_total_flops()
    return DryStep(peak, tuple(tracker.timeline), tuple(tracker.labels), counted)


def dry_step_peak(
    model: BaseModel, optim_wrapper_cfg: ConfigDict, make_batch: Callable[[], dict[str, Any]]
) -> PeakBytes:
    """Return the peak of :func:`dry_step`."""
    return dry_step(model, optim_wrapper_cfg, make_batch).peak


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
        optim_wrapper = _fake_optim_wrapper(fake_model, optim_wrapper_cfg)
        for name, parameter in fake_model.named_parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(lambda _, name=name: names.add(name))
        fake_model.train_step(make_batch(), optim_wrapper)
    return names


def _fake_optim_wrapper(model: BaseModel, optim_wrapper_cfg: ConfigDict) -> OptimWrapper:
    with _silence():
        optim_wrapper = build_optim_wrapper(model, without_accelerator(optim_wrapper_cfg))
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


def peak_beyond(run: Callable[[], Any], existing: Iterable[torch.Tensor] = ()) -> int:
    """Return the most bytes that ``run`` has alive at once, beyond those alive before it.

    To be called inside a ``FakeTensorMode``.

    Args:
        run: What is measured.
        existing: Tensors that live longer; a view of any other earlier tensor counts in full.
    """
    tracker = MemoryTracker()
    tracker.track(existing, 'existing')
    with UpperBounds(), tracker:
        run()
    return tracker.peak_bytes.total() - tracker.peak_bytes['existing']


def _state_tensors(optim_wrapper: OptimWrapper) -> list[torch.Tensor]:
    states = optim_wrapper.optimizer.state.values()
    return [value for state in states for value in state.values() if torch.is_tensor(value)]
