"""What each process of a pipeline needs for its local module: a dry step of that part alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
from mmengine.config import ConfigDict
from torch import Tensor

from ..local.carried import Carried, Retained
from ..local.local_losses import reads_image
from ..local.module import module_layers
from ..local.processes import Alone
from ..local.step import local_train_step
from ..measure.dry_step import fake_optim_wrapper, make_state, measured_step
from ..measure.fake import UpperBounds, fake_copy
from ..measure.gpu_rules import gpu_rules
from ..measure.peaks import PROCESS, DryStep
from ..measure.tracker import MemoryTracker, Watch
from ..measure.undrawn import kept_generators
from ..planning.borders import Borders
from ..upstream import FakeTensorMode, tree_leaves, tree_map_only


def dry_stage_steps(
    model: Any,
    optim_wrapper_cfg: ConfigDict,
    make_batch: Callable[[], dict[str, Any]],
    borders: Borders,
    watches: Sequence[Watch | None] | None = None,
    prepare: Callable[[Any], None] = lambda model: None,
) -> list[DryStep]:
    """Measure the step of each local module on fake tensors, as if no other one were there.

    A process holds its module's parameters, buffers, gradients and optimizer state, the batch, the
    border that it starts from, those that it passes on until the next process has them, and those
    that it may train on again.

    Args:
        model: Built on real tensors, with K > 1 modules that train one after the other.
        optim_wrapper_cfg: As for :func:`~.dry_step.dry_steps`.
        make_batch: As there.
        borders: How many there are.
        watches: Of each module, what is told of its operations.
        prepare: As there.

    Returns:
        A step for each process, in order, of the kind ``'process 0'``.
    """
    mode = FakeTensorMode()
    fake = fake_copy(model, mode)
    fake.train()
    prepare(fake)
    steps: list[DryStep] = []
    num_modules = len(fake.boundaries) + 1
    with mode, gpu_rules(), kept_generators(), UpperBounds():
        wrapper = fake_optim_wrapper(fake, optim_wrapper_cfg)
        state = make_state(wrapper)
        left: Carried | None = None
        for index, watch in enumerate(watches or [None] * num_modules):
            fake.running_module = index
            process = _Process(fake, index, left)
            tracker = MemoryTracker(lambda: fake.running_module, watch)
            own = list(fake.module_parameters(index).values())
            layers = module_layers(fake, index).values()
            tracker.track({b: None for layer in layers for b in layer.buffers()}, 'buffers')
            tracker.track(own, 'parameters')
            kept = {p: state[p] for p in own if p in state}
            tracker.track(chain(*kept.values()), 'optimizer_state')
            trained = tracker.track_gradients(fake)
            with tracker:
                batch = make_batch()  # kept during the step, as a Runner keeps it
                for _ in range(optim_wrapper_cfg.get('accumulative_counts', 1)):
                    local_train_step(fake, batch, wrapper, process)
            unused = [tensors for p, tensors in kept.items() if p not in trained]
            num_bytes = sum(tensor.nbytes for tensor in chain(*unused))
            step = measured_step(tracker, num_bytes, f'{PROCESS} {index}')
            received, left = left, process.left
            alive = borders.alive(*(border_bytes(each, borders) for each in (received, left)))
            steps.append(step.with_more(alive))
            del batch
    return steps


class _Process(Alone):
    """A process of a pipeline on fake tensors: what it sends is held by nobody.

    Args:
        model: The segmentor.
        index: Of its module.
        before: The shapes of what it receives; None for the first one.

    Attributes:
        left: The shapes of what it sent; None for the tail.
    """

    def __init__(self, model: Any, index: int, before: Carried | None) -> None:
        self.stages = range(index, index + 1)
        self._before, self._reads_image = before, reads_image(model, index)
        self.left: Carried | None = None

    def receive(self, carried: Carried) -> Carried:
        """Return a border that has just arrived."""
        if self._before is None:
            return carried
        received = _changed(self._before, _Like, _Like.made)
        received = replace(received, image=carried.image, samples=carried.samples)
        return received if self._reads_image else received.without_image()

    def send(self, carried: Carried) -> None:
        """Note the shapes of what a module left."""
        self.left = replace(_changed(carried, Tensor, _Like.of), image=torch.empty(0), samples=[])


def border_bytes(carried: Carried | None, borders: Borders) -> int:
    """Return the bytes that pass a border: the state, and features that later modules read."""
    if carried is None:
        return 0
    parts = [carried.state, carried.history, [left.kept for left in carried.retained.values()]]
    leaves = [leaf for leaf in tree_leaves(parts) if isinstance(leaf, _Like)]
    floats = sum(leaf.num_bytes for leaf in leaves if leaf.dtype == torch.float32)
    return borders.travelling(sum(leaf.num_bytes for leaf in leaves), floats)


@dataclass(frozen=True)
class _Like:
    """Stands for a tensor."""

    shape: torch.Size
    dtype: torch.dtype

    @classmethod
    def of(cls, tensor: Tensor) -> _Like:
        return cls(tensor.shape, tensor.dtype)

    def made(self) -> Tensor:
        return torch.empty(self.shape, dtype=self.dtype)

    @property
    def num_bytes(self) -> int:
        return self.shape.numel() * self.dtype.itemsize


def _changed(carried: Carried, kind: type, change: Callable[[Any], Any]) -> Carried:
    """Return what passes a border with other leaves."""
    return replace(
        carried,
        state=tree_map_only(kind, change, carried.state),
        retained={
            index: Retained(tree_map_only(kind, change, left.kept), left.emit)
            for index, left in carried.retained.items()
        },
        history=tree_map_only(kind, change, carried.history),
    )
