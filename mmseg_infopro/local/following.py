"""Local heads that follow the backbone's weights, as momentum copies do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..upstream import overflow_of_step
from .modular import Modular


class Followers:
    """The local heads of a model that follow the backbone.

    Args:
        model: A segmentor.
    """

    def __init__(self, model: Modular) -> None:
        self._backbone = model.backbone
        self._heads = [
            head
            for heads in model.local_heads.values()
            for head in heads
            if hasattr(head, 'follow')
        ]
        self._updates: list[tuple[set[nn.Parameter], Tensor | None]] = []

    @contextmanager
    def watching(self, optim_wrapper: Any) -> Iterator[None]:
        """Context of a step, in which is seen what its optimizer updates.

        Neither a step that accumulates nor one whose gradients overflowed updates anything. A fused
        optimizer is called all the same then: its kernel alone knows, without a word to the host.
        """
        if not self._heads:
            yield
            return
        handle = optim_wrapper.optimizer.register_step_post_hook(self._see)
        try:
            yield
        finally:
            handle.remove()

    def follow(self) -> None:
        """Move each head once, if what it follows was updated in the step that was watched."""
        for head in self._heads:
            followed = self._followed(head)
            seen = [over for updated, over in self._updates if not updated.isdisjoint(followed)]
            overflows = [over for over in seen if over is not None]
            if len(overflows) < len(seen):
                head.follow(self._backbone)
            elif overflows:
                was_updated = torch.stack(overflows).amin() == 0
                head.follow(self._backbone, was_updated)

    def _see(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        groups = optimizer.param_groups
        updated = {p for group in groups for p in group['params'] if p.grad is not None}
        self._updates.append((updated, overflow_of_step(optimizer)))

    def _followed(self, head: nn.Module) -> list[nn.Parameter]:
        followed: list[nn.Parameter] = head.followed(self._backbone)  # type: ignore[operator]
        return followed
