"""Data parallelism in local modules: each averages its gradients while the next one computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, TypeVar

from mmengine.optim import OptimWrapper
from mmengine.registry import MODEL_WRAPPERS  # a Runner asks this one, not its children
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.nn.parallel import DistributedDataParallel

from ..local.step import local_train_step
from .gradient_average import GradientAverage

Output = TypeVar('Output')


class ModuleView(nn.Module):
    """What :class:`DistributedDataParallel` sees of one local module.

    Args:
        parameters: Of the module.
        buffers: To broadcast from the first process.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], buffers: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.owned = nn.ParameterList(parameters)
        for index, buffer in enumerate(buffers):
            self.register_buffer(f'buffer_{index}', buffer)

    def forward(self, run: Callable[[], Output]) -> Output:
        """Run the module's forward pass."""
        return run()


@MODEL_WRAPPERS.register_module()
class LocalDataParallel(nn.Module):
    """Wraps a segmentor with local modules for training on several processes.

    Every local module has a :class:`DistributedDataParallel` of its own, not registered, so that
    the names in the state dict are those of any wrapper; a frozen module has none. A module's
    gradients are averaged over the processes while the next modules run, and all averages are
    there before clipping and the update. With K=1 this is :class:`MMDistributedDataParallel`.

    With ``local.update_per_module`` nothing overlaps: a module's averages are waited for before its
    update, and the next module runs after that. The memory of its gradients is then free.

    Which parameters train is read once: freezing one later needs a new wrapper. As in any data
    parallel training, all processes must take the same number of steps (mmengine's samplers see
    to that, except with ``round_up=False``). Their batches may differ in size; each process then
    still counts the same, so a sample of a smaller batch counts more.

    Args:
        module: An :class:`InfoProEncoderDecoder`, on its device.
        broadcast_buffers: Copy the first process's buffers, as batch norm's running statistics,
            to all others before each step; not between accumulated ones.
        bucket_cap_mb: Size of what is exchanged at once, in MB.
        process_group: The processes; all if not given.

    Raises:
        TypeError: The model has no local modules.
    """

    def __init__(
        self,
        module: Any,
        broadcast_buffers: bool = True,
        bucket_cap_mb: float = 25,
        process_group: ProcessGroup | None = None,
    ) -> None:
        super().__init__()
        if not hasattr(module, 'module_parameters'):
            raise TypeError(
                'LocalDataParallel wraps a segmentor with local modules, got '
                f'{type(module).__name__}; use MMDistributedDataParallel'
            )
        self.module = module
        self._average = GradientAverage(process_group)
        modules = [
            list(module.module_parameters(index).values())
            for index in range(len(module.boundaries) + 1)
        ]
        # The first one, whose forward pass opens the step, broadcasts all that belongs to none.
        frozen = [
            parameter
            for parameters in modules
            if not _train(parameters)
            for parameter in parameters
        ]
        buffers = list(module.buffers()) if broadcast_buffers else []
        data_parallel: list[DistributedDataParallel | None] = []
        for parameters in modules:
            if not _train(parameters):
                data_parallel.append(None)
                continue
            view, frozen, buffers = ModuleView([*parameters, *frozen], buffers), [], []
            wrapped = DistributedDataParallel(
                view,
                bucket_cap_mb=bucket_cap_mb,
                process_group=process_group,
                gradient_as_bucket_view=True,
            )
            wrapped.register_comm_hook(len(data_parallel), self._average.hook)
            data_parallel.append(wrapped)
        self._data_parallel = tuple(data_parallel)

    def train_step(self, data: dict[str, Any], optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Train every module on this process's batch, and update all parameters."""
        with self._average.in_background():
            return local_train_step(
                self.module,
                data,
                optim_wrapper,
                context=self,
                run_module=self.run_module,
                finish_gradients=self._average.wait,
            )

    def run_module(self, index: int, run: Callable[[], Output]) -> Output:
        """Run one module's forward pass, so that its next backward pass averages gradients."""
        if self.module.update_per_module:
            self._release_dropped_gradients()
        data_parallel = self._data_parallel[index]
        if data_parallel is None:
            return run()
        self._average.restore(index)
        return data_parallel(run)

    def _release_dropped_gradients(self) -> None:
        for index, data_parallel in enumerate(self._data_parallel):
            if data_parallel is not None and all(
                p.grad is None for p in data_parallel.parameters()
            ):
                self._average.release(index)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model; a backward pass through its output averages all gradients."""
        run: Callable[[], Any] = partial(self.module, *args, **kwargs)
        for index, data_parallel in enumerate(self._data_parallel):
            if data_parallel is not None:
                self._average.restore(index)
                run = partial(data_parallel, run)
        return run()

    def val_step(self, data: Any) -> list:
        """Predict."""
        return self.module.val_step(data)

    def test_step(self, data: Any) -> list:
        """Predict."""
        return self.module.test_step(data)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Keep gradients to this process, for forward passes within."""
        with ExitStack() as stack:
            for data_parallel in self._data_parallel:
                if data_parallel is not None:
                    stack.enter_context(data_parallel.no_sync())
            yield


def _train(parameters: Iterable[nn.Parameter]) -> bool:
    return any(parameter.requires_grad for parameter in parameters)
