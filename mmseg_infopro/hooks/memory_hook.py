"""The memory that a process takes on its GPU: capped, logged, compared with the predicted one."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ..config.step import config_peak
from ..config.walk import SYNCHRONIZED, type_name
from ..local.settings import CONTEXT_MARGIN
from ..measure.sizes import format_bytes, parse_bytes

TOLERANCE = 0.1
"""How far the peak may be from the predicted one, as a share of that, before it is warned of."""


@dataclass
class DevicePeak:
    """The most bytes on the current device: in tensors, and held by torch's allocator for them."""

    allocated: int = 0
    reserved: int = 0

    def update(self) -> None:
        """Take in torch's peaks since they were last reset, by whomever."""
        self.allocated = max(self.allocated, torch.cuda.max_memory_allocated())
        self.reserved = max(self.reserved, torch.cuda.max_memory_reserved())


@HOOKS.register_module()
class MemoryHook(Hook):
    """Caps each process's memory on its GPU, and logs the peaks of training and validation.

    mmengine logs ``memory``, the peak of the tensors. What a card must hold is more: this hook adds
    ``memory_reserved``, the peak of what torch's allocator holds, and ``memory_peak`` of the
    tensors of a validation, in MiB and of the main process. Peaks of tensors are apart for training
    and validation; what validation made the allocator hold, it goes on holding.

    The predicted peak is compared with that of the second interval: the first holds cuDNN's search
    for algorithms, and a step without optimizer state.

    Without CUDA the hook does nothing, and says so if there is a cap.

    Args:
        memory_cap: All that the process may hold on the card, in bytes or as ``'11GiB'``. Beyond
            it, allocations fail as on a smaller card. None for no cap. A card sold as one of 11 GiB
            has a bit less: a cap above what there is becomes that, with a warning.
        interval: Iterations between peaks. Give LoggerHook the same one: its ``memory`` counts from
            where this hook's intervals begin.
        margin: The part of the cap for what torch's allocator does not see, and so cannot limit:
            the CUDA context, kernels, NCCL's buffers. On a given card it is what nvidia-smi shows
            of the process, less ``memory_reserved``.
        predicted_bytes: The predicted peak of a training step; None to take a dry step of the
            config before training.

    Raises:
        TypeError: ``interval`` is no int.
        ValueError: A size is none, or nothing is left of the cap; when a run starts, the predicted
            peak does not fit the card.
    """

    priority = 'NORMAL'  # LoggerHook, which is after it, resets torch's peaks

    def __init__(
        self,
        memory_cap: int | str | None = None,
        interval: int = 50,
        margin: int | str = CONTEXT_MARGIN,
        predicted_bytes: int | str | None = None,
    ) -> None:
        if not isinstance(interval, int):
            raise TypeError(f'interval must be a number of iterations, got {interval!r}')
        if interval < 1:
            raise ValueError(f'interval must be at least 1, got {interval}')
        self.memory_cap = None if memory_cap is None else parse_bytes(memory_cap)
        self._margin = parse_bytes(margin)
        if self.memory_cap is not None and self.memory_cap <= self._margin:
            raise ValueError(f'memory_cap must be above margin={margin}, got {memory_cap}')
        self._interval = interval
        self._predicted = None if predicted_bytes is None else parse_bytes(predicted_bytes)
        if self._predicted == 0:
            raise ValueError(f'predicted_bytes must be above 0, got {predicted_bytes!r}')
        self._has_gpu = False
        self._num_intervals = 0
        self._training, self._validation = DevicePeak(), DevicePeak()

    def before_run(self, runner: Runner) -> None:
        """Set the cap, which holds for training, validation and testing."""
        self._has_gpu = torch.cuda.is_available()
        if self.memory_cap is None:
            return
        if not self._has_gpu:
            runner.logger.warning(
                f'memory_cap={format_bytes(self.memory_cap)} is not enforced: there is no CUDA'
            )
            return
        limit = limit_allocator(self.memory_cap, self._margin, self._predicted)
        if limit < self.memory_cap:
            runner.logger.warning(
                f'memory_cap={format_bytes(self.memory_cap)} is more than the card has: it is '
                f'{format_bytes(limit)}'
            )

    def before_train(self, runner: Runner) -> None:
        """Predict the peak."""
        if self._has_gpu and self._predicted is None and is_main_process():
            try:
                self._predicted = predict_peak(runner.cfg)
            except (ValueError, TypeError, RuntimeError) as error:
                runner.logger.warning(
                    f'MemoryHook compares no peaks: the dry step of the config failed ({error}); '
                    'predicted_bytes would replace it'
                )
        self._num_intervals = 0
        self._begin_interval()

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Log the peak of an interval that ends."""
        if not self._has_gpu:
            return
        # In every iteration: others reset torch's peaks when they like.
        self._training.update()
        if self.every_n_train_iters(runner, self._interval):
            reserved = self._training.reserved // 2**20
            runner.message_hub.update_scalar('train/memory_reserved', reserved)
            self._num_intervals += 1
            if self._num_intervals == 2:
                self._compare(runner)

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Begin an interval; not where the last one ends, for LoggerHook reads after this hook."""
        if runner.iter % self._interval == 0:
            self._begin_interval()

    def before_val_epoch(self, runner: Runner) -> None:
        """Leave the peak of training out of that of validation."""
        self._validation = DevicePeak()
        self._reset()

    def after_val_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Read the peak before LoggerHook resets it."""
        if self._has_gpu:
            self._validation.update()

    def after_val_epoch(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Log the peak of validation, and leave it out of that of training."""
        if self._has_gpu:
            allocated = self._validation.allocated // 2**20
            runner.message_hub.update_scalar('val/memory_peak', allocated)
        self._reset()

    def _begin_interval(self) -> None:
        self._training = DevicePeak()
        self._reset()

    def _reset(self) -> None:
        if self._has_gpu:
            torch.cuda.reset_peak_memory_stats()

    def _compare(self, runner: Runner) -> None:
        measured, predicted = self._training.allocated, self._predicted
        if predicted is not None and abs(measured - predicted) > TOLERANCE * predicted:
            runner.logger.warning(
                f'the peak of training is {format_bytes(measured)}, predicted were '
                f'{format_bytes(predicted)} ({measured / predicted - 1:+.0%}): a partition that is '
                'planned for a memory cap is off by as much'
            )


def limit_allocator(memory_cap: int, margin: int, predicted: int | None = None) -> int:
    """Let torch's allocator hold ``memory_cap - margin`` bytes on the current device, and no more.

    Returns:
        The cap, or what the device has, if that is less.

    Raises:
        ValueError: The device has less than the cap, and not enough for the predicted peak.
    """
    device = torch.cuda.current_device()
    total = torch.cuda.get_device_properties(device).total_memory
    limit = min(memory_cap, total)
    if limit < memory_cap and limit - margin < (predicted or 0):
        raise ValueError(
            f'memory_cap={format_bytes(memory_cap)} is above the {format_bytes(total)} of '
            f'cuda:{device}, and less margin={format_bytes(margin)} these do not hold the '
            f'predicted peak of {format_bytes(predicted or 0)}'
        )
    torch.cuda.set_per_process_memory_fraction(max(0, limit - margin) / total, device)
    return limit


def predict_peak(cfg: Config) -> int:
    """Return the peak bytes of a training step of a config; random numbers stay as they were."""
    cfg = deepcopy(cfg)
    cfg.model = unsynchronized(cfg.model)
    return config_peak(cfg).total


def unsynchronized(value: Any) -> Any:
    """Replace synchronized batch norm, which would wait for processes that take no dry step."""
    if isinstance(value, dict):
        copy = type(value)({key: unsynchronized(item) for key, item in value.items()})
        if type_name(copy) in SYNCHRONIZED:
            copy['type'] = 'BN'
        return copy
    if isinstance(value, (list, tuple)):
        return type(value)(unsynchronized(item) for item in value)
    return value
