"""Local heads that follow the backbone's weights, as momentum copies do."""

from __future__ import annotations

from torch import nn

from ..upstream import version
from .modular import Modular


class Followers:
    """The local heads of a model that follow the backbone, as they are before a step.

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
        followed = {p for head in self._heads for p in self._followed(head)}
        self._versions = {parameter: version(parameter) for parameter in followed}

    def follow(self) -> None:
        """Move each head once, if what it follows was updated since.

        Neither a step that accumulates nor one whose gradients overflowed updates anything.
        """
        updated = {p for p, before in self._versions.items() if version(p) != before}
        for head in self._heads:
            if not updated.isdisjoint(self._followed(head)):
                head.follow(self._backbone)

    def _followed(self, head: nn.Module) -> list[nn.Parameter]:
        followed: list[nn.Parameter] = head.followed(self._backbone)  # type: ignore[operator]
        return followed
