"""Turns of a race: each takes training steps in one way, in one process of several."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from time import monotonic
from typing import Any

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.registry import MODEL_WRAPPERS
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh

from ...local.carried import Carried
from ...local.processes import Alone
from ...local.step import local_train_step
from ...parallel import ModuleParallel, choose_model_wrapper
from ...upstream import as_world, job_store, tree_leaves
from ..timing import real_config_step
from .growth import growth

LINK, PIPELINE, APART, ONE_PROCESS = 'link', 'pipeline', 'side by side', 'one process'
END_TO_END, DATA_PARALLEL = 'e2e, one process', 'e2e, data parallel'
"""The ways."""
LINK_BYTES = 2**24
WARM_UP = 2
"""Steps before those that count: they make the optimizer's state, and announce shapes."""


@dataclass
class Turn:
    """What a process did in a turn. Times are seconds of a clock that all processes share.

    Attributes:
        begins: Of each step that counts.
        ends: Of them.
        forwards: Seconds of their forward passes, where that is known.
        events: What it did when: kind, begin, end.
        border_bytes: That it received for a step.
        grown_bytes: By which the process grew at most; None where that cannot be told.
    """

    begins: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    forwards: list[float] = field(default_factory=list)
    events: list[tuple[str, float, float]] = field(default_factory=list)
    border_bytes: int = 0
    grown_bytes: int | None = None

    def as_plain(self) -> dict[str, Any]:
        """Return what JSON can write."""
        return asdict(self)


class Racer:
    """One process of a race.

    Args:
        local: The config of local modules, one for each process.
        plain: The same end to end.
        num_steps: That count, in each turn.
        device: ``'cpu'`` or ``'cuda'``.
    """

    def __init__(self, local: Config, plain: Config, num_steps: int, device: str) -> None:
        self._local, self._plain = local, plain
        self._num_steps, self._device = num_steps, device
        self.rank = dist.get_rank()
        shape = 1, dist.get_world_size()
        mesh = init_device_mesh(device, shape, mesh_dim_names=('dp', 'pp'))
        self._myself = mesh.get_group('dp')
        self._border: Carried | None = None
        self._number = 0

    def take(self, way: str) -> Turn:
        """Take the steps of a turn; all processes do, at once.

        Args:
            way: One of :data:`WAYS`.
        """
        turn = Turn()
        with growth(self._device) as grown:
            WAYS[way](self, turn)
        turn.grown_bytes = grown.num_bytes
        dist.barrier()
        return turn

    def pipeline(self, turn: Turn) -> None:
        """Train one local module in each process."""
        step = real_config_step(self._local, self._device)
        in_flight = self._local.model.local.get('in_flight', 2)
        model = ModuleParallel(step.model, in_flight=in_flight)
        link: Any = model.link
        receive, send = link.receive, link.send

        def timed_receive(*args: Any) -> Carried:
            begin = monotonic()
            self._border = received = receive(*args)
            turn.events.append(('wait', begin, monotonic()))
            return received

        def timed_send(carried: Carried) -> None:
            begin = monotonic()
            send(carried)
            turn.events.append(('send', begin, monotonic()))

        link.receive, link.send = timed_receive, timed_send
        # The first ones run ahead: until the last one has ended, they go on.
        self._run(turn, lambda: model.train_step(step.batch, step.optim_wrapper), in_flight + 2)
        model.link.finish()
        turn.border_bytes = _border_bytes(self._border)

    def side_by_side(self, turn: Turn) -> None:
        """Train the same modules, each on a border of the last pipeline again and again."""
        step = real_config_step(self._local, self._device)
        model = ModuleParallel(step.model)
        model.settle(step.optim_wrapper)
        process = _Apart(self.rank, self._border, self._myself)

        def train() -> None:
            begin = monotonic()
            local_train_step(model.module, step.batch, step.optim_wrapper, process)
            if process.sent is not None:
                turn.forwards.append(process.sent - begin)

        self._number += 1
        self._run(turn, train)
        turn.forwards = turn.forwards[WARM_UP:]
        own, store = f'side by side {self._number}', job_store()
        store.set(f'{own} {self.rank}', 'done')
        while not store.check([f'{own} {rank}' for rank in range(dist.get_world_size())]):
            train()  # so that no other one has the machine for itself
        turn.forwards = turn.forwards[: self._num_steps]

    def one_process(self, turn: Turn) -> None:
        """Train all local modules in the first process, while the others sleep."""
        self._alone(turn, self._local)

    def end_to_end(self, turn: Turn) -> None:
        """Train end to end in the first process, while the others sleep."""
        self._alone(turn, self._plain)

    def _alone(self, turn: Turn, cfg: Config) -> None:
        if self.rank == 0:
            step = real_config_step(cfg, self._device)
            with as_world(self._myself):
                self._run(turn, step.take, together=False)

    def data_parallel(self, turn: Turn) -> None:
        """Train end to end, each process on a batch of its own; gradients are averaged."""
        cfg = deepcopy(self._plain)
        choose_model_wrapper(cfg, 'pytorch')
        step = real_config_step(cfg, self._device)
        model = MODEL_WRAPPERS.build(dict(cfg.model_wrapper_cfg, module=step.model))
        self._run(turn, lambda: model.train_step(step.batch, step.optim_wrapper))

    def link(self, turn: Turn) -> None:
        """Send bytes from the first process to the second one."""
        content = torch.zeros(LINK_BYTES, dtype=torch.uint8, device=self._device)

        def exchange() -> None:
            if self.rank == 0:
                dist.send(content, 1)
            elif self.rank == 1:
                dist.recv(content, 0)

        self._run(turn, exchange)

    def _run(
        self, turn: Turn, train: Callable[[], Any], more: int = 0, together: bool = True
    ) -> None:
        if together:
            dist.barrier()
        for number in range(WARM_UP + self._num_steps + more):
            begin = monotonic()
            train()
            if self._device == 'cuda':
                torch.cuda.synchronize()
            if WARM_UP <= number < WARM_UP + self._num_steps:
                turn.begins.append(begin)
                turn.ends.append(monotonic())


class _Apart(Alone):
    """A process of a pipeline without its neighbours: it starts from the same border each time."""

    def __init__(self, index: int, border: Carried | None, myself: dist.ProcessGroup) -> None:
        self.stages = range(index, index + 1)
        self._border, self._myself = border, myself
        self.sent: float | None = None

    def receive(self, carried: Carried) -> Carried:
        if self._border is None:
            return carried
        return replace(self._border, image=carried.image, samples=carried.samples)

    def running(self) -> AbstractContextManager[None]:
        return as_world(self._myself)

    def send(self, carried: Carried) -> None:
        self.sent = monotonic()


def _border_bytes(border: Carried | None) -> int:
    if border is None:
        return 0
    parts = [border.state, border.history, [left.kept for left in border.retained.values()]]
    return sum(leaf.nbytes for leaf in tree_leaves(parts) if isinstance(leaf, Tensor))


WAYS: dict[str, Callable[[Racer, Turn], None]] = {
    LINK: Racer.link,
    PIPELINE: Racer.pipeline,
    APART: Racer.side_by_side,
    ONE_PROCESS: Racer.one_process,
    END_TO_END: Racer.end_to_end,
    DATA_PARALLEL: Racer.data_parallel,
}
"""By name, what a turn may be; a pipeline goes before the same side by side."""
