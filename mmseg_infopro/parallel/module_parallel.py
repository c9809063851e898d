"""One local module per process: a pipeline in which nothing comes back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.registry import MODEL_WRAPPERS
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh

from ..local.clock import current_iteration
from ..local.processes import ALONE, BUCKET_CAP_MB, Processes
from ..upstream import job_store, launcher_holds_store
from .agreement import on_all_processes
from .ahead_link import AheadLink
from .link import Link
from .local_data_parallel import LocalDataParallel
from .pipeline_checks import check_optimizer, check_spreads, check_world
from .placing import keep_modules, keep_state, module_tensors
from .prediction import predict_part
from .rows import control_group, synchronize_norms
from .stage import Stage
from .stale_link import StaleLink
from .watch import Watch


@MODEL_WRAPPERS.register_module()
class ModuleParallel(LocalDataParallel):
    """Wraps a segmentor of which each process trains one local module.

    The processes are a mesh ``(dp, pp)``: rows of K neighbours, one for each module. A module needs
    one thing of the others, the detached border before it, so those of a row work on K successive
    batches at once, each on weights that have met all batches before. The samples of a row are the
    same: each process loads them. Gradients are averaged over the processes with the same module.

    When training begins, the tensors of all other modules go to meta, and with them what the
    optimizer kept for them. For a prediction each process runs its own module too, on the row's
    images, and the last one of the row predicts.

    Args:
        module: An :class:`InfoProEncoderDecoder` with K > 1 modules, on its device.
        broadcast_buffers: As for :class:`LocalDataParallel`, within ``dp``.
        bucket_cap_mb: As there.
        in_flight: How many borders may be on their way to the next process.
        border_dtype: ``'bfloat16'`` sends 32-bit floats rounded.
        staleness: How many iterations old a border may be that a module trains on, see
            :class:`StaleLink`; 0 is exact.
        reuse: How often a border may be trained on; ``staleness`` + 1 if not given.
        timeout: Seconds after which a process that another one waits for counts as lost.

    Raises:
        ValueError: The model, or the number of processes, does not make a pipeline.
    """

    def __init__(
        self,
        module: Any,
        broadcast_buffers: bool = True,
        bucket_cap_mb: float = BUCKET_CAP_MB,
        in_flight: int = 2,
        border_dtype: str | None = None,
        timeout: float = 600.0,
        staleness: int = 0,
        reuse: int | None = None,
    ) -> None:
        on_all_processes(lambda: _check(module, staleness))
        num_modules = len(module.boundaries) + 1
        shape = dist.get_world_size() // num_modules, num_modules
        mesh = init_device_mesh(get_device(), shape, mesh_dim_names=('dp', 'pp'))
        super().__init__(module, broadcast_buffers, bucket_cap_mb, mesh.get_group('dp'))
        synchronize_norms(module, mesh.get_group('dp'))
        self.index: int = mesh.get_local_rank('pp')
        self.replica: int = mesh.get_local_rank('dp')
        self.ranks: list[int] = dist.get_process_group_ranks(mesh.get_group('pp'))
        modules = [rank % num_modules for rank in range(dist.get_world_size())]
        stale = dict(store=job_store(), staleness=staleness, reuse=reuse or staleness + 1)
        self._neighbours = (
            self.ranks,
            self.index,
            mesh.get_group('pp'),
            control_group(mesh.mesh.tolist(), timeout),
            Watch(job_store(), modules, dist.get_rank(), timeout, launcher_holds_store()),
        )
        self._in_flight = in_flight
        self._exact = AheadLink if get_device() == 'cpu' else Link
        self.link = (StaleLink if staleness else self._exact)(
            *self._neighbours,
            in_flight,
            getattr(torch, border_dtype) if border_dtype else None,
            **(stale if staleness else {}),
        )
        self.lag = num_modules * (in_flight + 1 + (staleness or 1))
        self.staleness = staleness
        self._values: dict[str, Tensor] = {}
        self.is_settled = False
        self._predictions: Link | None = None

    def settle(self, optim_wrapper: OptimWrapper, copies: Iterable[nn.Module] = ()) -> None:
        """Keep this process's module, and drop all others (collective).

        Args:
            optim_wrapper: Of the whole model; whatever it has loaded of others' state goes.
            copies: Of the model, of which the same parts go.

        Raises:
            ValueError: Its update is one of all modules together.
        """
        on_all_processes(lambda: check_optimizer(self.module, optim_wrapper, self.staleness))
        self._numbers = range(self.index, self.index + 1)
        replaced = keep_modules(self.module, self._numbers, tuple(copies))
        keep_state(optim_wrapper.optimizer, replaced)
        self.take_parameters()
        self.is_settled = True

    def train_step(self, data: dict[str, Any], optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Train this process's module on the batch that all of its row have loaded.

        Returns:
            Detached values of this module; ``loss`` is its part of the total. Where it does not
            train in this iteration, as only with ``staleness``, they are those of before.
        """
        if not self.is_settled:
            self.settle(optim_wrapper)
        self.end_predictions()
        with self.link.watch.step():
            chosen = self.link.choose(current_iteration(), data)
            if chosen is not None:
                self._values = super().train_step(chosen, optim_wrapper)
        return dict(self._values)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Raise: no process has the whole model."""
        raise RuntimeError(
            'a pipeline of local modules trains through train_step and predicts through val_step '
            "and test_step only: no process has the whole model; local.placement='replicate' has it"
        )

    @torch.no_grad()
    def val_step(self, data: Any) -> list:
        """Predict the images that all of the row have loaded (collective within the row).

        Until :meth:`end_predictions` the process before may be further.

        Returns:
            The samples; the last process's have predictions.
        """
        if self._predictions is None:
            self.link.finish()
            self._predictions = self._exact(*self._neighbours, self._in_flight)
        with self.link.watch.step():
            return predict_part(self.module, self.index, self._predictions, data)

    def test_step(self, data: Any) -> list:
        """Predict as :meth:`val_step`."""
        return self.val_step(data)

    def end_predictions(self) -> None:
        """Wait until the process behind has got all that it needs for its predictions."""
        if self._predictions is not None:
            self._predictions.finish()
            self._predictions = None

    @property
    def is_tail(self) -> bool:
        """Whether this process has the last module, and so makes the predictions."""
        return self.index == len(self.ranks) - 1

    def meet(self) -> None:
        """Wait until all processes of the row are here (collective within the row).

        Raises:
            LostProcessError: One does not come in time.
        """
        self.link.meet()

    def own_names(self) -> list[str]:
        """Return the names of the parameters and buffers of this process's module."""
        return list(module_tensors(self.module, self.index))

    def _broadcast(self, tensors: Iterable[Tensor]) -> None:
        if self._numbers == range(len(self.module.boundaries) + 1):  # not yet a pipeline
            super()._broadcast(tensors)
        elif dist.get_world_size(self.replicas) > 1:
            with self.link.watch.waiting():
                super()._broadcast(tensors)

    def _processes(self, average: Processes) -> Processes:
        alone = dist.get_world_size(self.replicas) == 1
        average = ALONE if alone else average
        return Stage(self.module, self.index, self.link, average, self.replicas)


def _check(module: Any, staleness: int) -> None:
    check_world(len(module.boundaries) + 1, dist.get_world_size(), staleness)
    check_spreads(module)
