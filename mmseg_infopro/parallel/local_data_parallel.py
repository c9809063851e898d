"""Data parallelism in local modules: each averages its gradients while the next one computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import ref

import torch
import torch.distributed as dist
from mmengine.optim import OptimWrapper
from mmengine.registry import MODEL_WRAPPERS  # a Runner asks this one, not its children
from torch import Tensor, nn

from ..local.processes import ALONE, BUCKET_CAP_MB, Processes
from ..local.step import local_train_step
from ..upstream import at_end_of_backward, tree_leaves
from .average import GradientAverage
from .buckets import broadcast


@MODEL_WRAPPERS.register_module()
class LocalDataParallel(nn.Module):
    """Wraps a segmentor with local modules for training on several processes.

    A module's gradients are averaged over the processes while the next modules run, and all
    averages are there before clipping and the update. It needs the memory of one process, and that
    of one bucket. Parameters may be unused, on some processes or on all, and frozen, replaced or
    added (as adapters are) between any two steps, if all processes do it. With K=1 this computes
    what :class:`MMDistributedDataParallel` does.

    With ``local.update_per_module`` nothing overlaps: a module's averages are waited for before its
    update, and the next module runs after that.

    As in any data parallel training, all processes must take the same number of steps (mmengine's
    samplers see to that, except with ``round_up=False``). Their batches may differ in size; each
    process then still counts the same, so a sample of a smaller batch counts more.

    Args:
        module: An :class:`InfoProEncoderDecoder`, on its device.
        broadcast_buffers: Copy the first process's buffers, as batch norm's running statistics,
            to all others before each step; not between accumulated ones.
        bucket_cap_mb: Size of what is exchanged at once, in MB.
        process_group: For the gradients. If not given it is a new one of all processes, with its
            backend's default timeout, so that synchronized batch norm does not queue behind them.

    Raises:
        TypeError: The model has no local modules.
        ValueError: The processes built different models.
    """

    def __init__(
        self,
        module: Any,
        broadcast_buffers: bool = True,
        bucket_cap_mb: float = BUCKET_CAP_MB,
        process_group: dist.ProcessGroup | None = None,
    ) -> None:
        super().__init__()
        if not hasattr(module, 'module_parameters'):
            raise TypeError(
                'LocalDataParallel wraps a segmentor with local modules, got '
                f'{type(module).__name__}; use MMDistributedDataParallel'
            )
        self.module = module
        self.replicas = dist.new_group() if process_group is None else process_group
        self._max_bytes = bucket_cap_mb * 1024**2
        self._numbers = range(len(module.boundaries) + 1)
        self._known: list[nn.Parameter] = []
        self.take_parameters()
        self._broadcasts_buffers = broadcast_buffers
        self._buffers_may_differ = True
        self._averages = True
        self._context_of_backward: Callable[[], object | None] = _none

    def take_parameters(self) -> None:
        """Average the gradients of what the model consists of now, and begin with equal values."""
        parameters = [
            self.module.module_parameters(index) if index in self._numbers else {}
            for index in range(len(self.module.boundaries) + 1)
        ]
        _check_equal(parameters, self.replicas)
        self._average = GradientAverage(parameters, self._max_bytes, self.replicas)
        self._known = list(self.module.parameters())
        self._broadcast([*self._known, *self.module.buffers()])

    def _broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Copy the first process's tensors to all others; those on meta are not of this process."""
        broadcast([t for t in tensors if not t.is_meta], self._max_bytes, self.replicas)

    def train_step(self, data: dict[str, Any], optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Train every module on this process's batch, and update all parameters."""
        averages = self._averages and optim_wrapper.should_sync()
        self._begin(averages)
        processes = self._processes(self._average if averages else ALONE)
        return local_train_step(self.module, data, optim_wrapper, processes)

    def _processes(self, average: Processes) -> Processes:
        """Return what a step needs of the processes, one that averages or not."""
        return average

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model; a backward pass through its output averages all gradients.

        They are final when ``backward`` returns.
        """
        if not torch.is_grad_enabled():
            return self.module(*args, **kwargs)
        self._begin(self._averages)
        output = self.module(*args, **kwargs)
        if self._averages:
            for value in tree_leaves(output):
                if isinstance(value, Tensor) and value.requires_grad:
                    value.register_hook(self._average_in_backward)
        return output

    def val_step(self, data: Any) -> list:
        """Predict."""
        return self.module.val_step(data)

    def test_step(self, data: Any) -> list:
        """Predict."""
        return self.module.test_step(data)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Keep gradients to this process, for forward passes within."""
        before, self._averages = self._averages, False
        try:
            yield
        finally:
            self._averages = before

    def _begin(self, averages: bool) -> None:
        self._average.forget()  # what a step that failed has left
        if [*map(id, self.module.parameters())] != [*map(id, self._known)]:
            self.take_parameters()
        if self._broadcasts_buffers and self._buffers_may_differ:
            self._broadcast(self.module.buffers())
        self._buffers_may_differ = averages

    def _average_in_backward(self, _: Tensor) -> None:
        """Begin to average in a backward pass that has reached an output, unless it has begun."""
        if self._context_of_backward() is not None:
            return
        context = self._average.averaging(self._numbers)
        context.__enter__()

        def end() -> None:
            context.__exit__(None, None, None)
            self._average.finish()
            self._context_of_backward = _none

        # Only the engine holds the context: if the pass fails, so does the rest of the context.
        self._context_of_backward = ref(context)
        at_end_of_backward(end)


def _none() -> None:
    return None


def _check_equal(modules: Sequence[Mapping[str, nn.Parameter]], group: dist.ProcessGroup) -> None:
    own = [{name: (p.shape, p.dtype) for name, p in module.items()} for module in modules]
    everyones: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(everyones, own, group)
    for rank, others in enumerate(everyones):
        if others != everyones[0]:
            raise ValueError(
                f'all processes must build the same model, but process {rank} has other parameters '
                'in its local modules than the first one'
            )
