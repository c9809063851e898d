"""What each process of a pipeline needs for its local module: a dry step of that part alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper
from torch import Tensor

from ..local.carried import Carried, Retained
from ..local.forward import forward_pass
from ..local.local_losses import border_heads
from ..local.module import module_layers
from ..local.names import boundary_key
from ..local.schedule import Pass
from ..measure.dry_step import fake_optim_wrapper, make_state, measured_step
from ..measure.fake import UpperBounds, fake_copy
from ..measure.gpu_rules import gpu_rules
from ..measure.peaks import DryStep
from ..measure.tracker import MemoryTracker, Watch
from ..measure.undrawn import kept_generators
from ..planning.simulation.local_pipeline import border_bytes_alive
from ..upstream import FakeTensorMode, tree_leaves, tree_map_only


def dry_stage_steps(
    model: Any,
    optim_wrapper_cfg: ConfigDict,
    make_batch: Callable[[], dict[str, Any]],
    in_flight: int,
    watches: Sequence[Watch | None] | None = None,
    prepare: Callable[[Any], None] = lambda model: None,
) -> list[DryStep]:
    """Measure the step of each local module on fake tensors, as if no other one were there.

    A process holds its module's parameters, buffers, gradients and optimizer state, the labels,
    the image where the module reads it, the border that it starts from, and those that it passes
    on until the next process has them.

    Args:
        model: Built on real tensors, with K > 1 modules that train one after the other.
        optim_wrapper_cfg: As for :func:`~.dry_step.dry_steps`.
        make_batch: As there.
        in_flight: ``local.in_flight``.
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
    with mode, gpu_rules(), kept_generators(), UpperBounds():
        wrapper = fake_optim_wrapper(fake, optim_wrapper_cfg)
        state, batch = make_state(wrapper), make_batch()
        with wrapper.optim_context(fake):
            data = fake.data_preprocessor(batch, True)
        carried = Carried(data['inputs'], data['inputs'], data['data_samples'])
        passes = fake.schedule(0, len(fake.boundaries) + 1)
        for index, watch in enumerate(watches or [None] * len(passes)):
            stage = _Stage(fake, wrapper, passes, index)
            num_batches = optim_wrapper_cfg.get('accumulative_counts', 1)
            step, carried = stage.step(carried, batch, state, num_batches, watch)
            steps.append(step.with_more(border_bytes_alive(border_bytes(carried), in_flight)))
    return steps


def border_bytes(carried: Carried | None) -> int:
    """Return the bytes that pass a border: the state, and features that later modules read."""
    if carried is None:
        return 0
    parts = [carried.state, carried.history, [left.kept for left in carried.retained.values()]]
    return sum(leaf.num_bytes for leaf in tree_leaves(parts) if isinstance(leaf, _Like))


def reads_image(model: Any, index: int) -> bool:
    """Whether a module reads the image: the first one, by its heads, or for its context."""
    if index == 0 or boundary_key(model.boundaries[index - 1]) in model.context:
        return True
    heads = border_heads(model, index) if index < len(model.boundaries) else []
    return any(getattr(head, 'reads_image', False) for head in heads)


class _Stage:
    """The part of a fake model's step that one process takes."""

    def __init__(
        self, model: Any, wrapper: OptimWrapper, passes: Sequence[Pass], index: int
    ) -> None:
        self._model, self._wrapper, self._passes = model, wrapper, passes
        self._index = index
        self._reads_image = reads_image(model, index)

    def step(
        self,
        carried: Carried,
        batch: dict[str, Any],
        state: dict[Any, list[Tensor]],
        num_batches: int,
        watch: Watch | None,
    ) -> tuple[DryStep, Any]:
        """Train the module until it is updated.

        Args:
            carried: What it starts from.
            batch: What the data loader yielded.
            state: What the optimizer keeps of all parameters.
            num_batches: That accumulate.
            watch: Is told of every operation.

        Returns:
            The step, and the shapes of what passes the border behind; None of the tail.
        """
        model = self._model
        model.running_module = self._index
        tracker = MemoryTracker(lambda: model.running_module, watch)
        own = list(model.module_parameters(self._index).values())
        layers = module_layers(model, self._index).values()
        tracker.track({b: None for layer in layers for b in layer.buffers()}, 'buffers')
        tracker.track(own, 'parameters')
        kept = {p: state[p] for p in own if p in state}
        tracker.track(chain(*kept.values()), 'optimizer_state')
        tracker.track([sample.gt_sem_seg.data for sample in batch['data_samples']], 'batch')
        tracker.track(batch['inputs'] if self._reads_image else [], 'batch')
        trained = tracker.track_gradients(model)
        with tracker:
            for _ in range(num_batches):
                left = self._train({self._index: self._fresh(carried)})
        unused = [tensors for p, tensors in kept.items() if p not in trained]
        num_bytes = sum(tensor.nbytes for tensor in chain(*unused))
        return measured_step(tracker, num_bytes, f'process {self._index}'), left

    def _train(self, starts: dict[int, Carried]) -> Carried | None:
        with self._wrapper.optim_context(self._model):
            losses = forward_pass(self._model, self._passes, self._index, starts)
        # Only the link holds what was sent, which counts for itself.
        left = starts.pop(self._index + 1, None)
        shapes = None if left is None else _changed(left, Tensor, _Like.of)
        del left
        loss, _ = self._model.parse_losses(losses)
        del losses
        self._wrapper.update_params(loss)
        return shapes

    def _fresh(self, carried: Carried) -> Carried:
        """Return a border that has just arrived, the image with it where that is read."""
        image = torch.empty_like(carried.image) if self._reads_image else carried.image
        if self._index == 0:
            return replace(carried, state=image, image=image)
        return replace(_changed(carried, _Like, _Like.made), image=image)


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
