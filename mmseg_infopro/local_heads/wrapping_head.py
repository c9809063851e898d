"""What heads have in common that run layers of their own before another head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmengine.model import BaseModule
from mmseg.utils import OptMultiConfig, SampleList
from torch import Tensor

from ..backbones import State
from .border import Border
from .building import head_losses
from .filling import build_head


class WrappingHead(BaseModule):
    """Base of heads that read the border's state and hand what they make of it to another head.

    Args:
        init_cfg: As in mmengine.

    Attributes:
        head: The other head.
    """

    reads_state = True
    reads_image = True
    reads_entry = False

    def __init__(self, init_cfg: OptMultiConfig = None) -> None:
        super().__init__(init_cfg)
        self.head: Any

    def wrap(self, cfg: Mapping[str, Any], border: Border, after: str, defaults: Any) -> None:
        """Build the other head for the features behind a later unit.

        Args:
            cfg: Of the head.
            border: Where this head stands.
            after: Name of the unit.
            defaults: What the model knows.
        """
        self.head = build_head(cfg, replace(border, shapes=border.trace.borders[after]), defaults)
        self.reads_entry = getattr(self.head, 'reads_entry', False)

    @property
    def loss_decode(self) -> Any:
        """What has the weights of the losses: the other head's."""
        return getattr(self.head, 'loss_decode', self.head)

    def features(self, state: State, border: Sequence[Tensor]) -> list[Tensor]:
        """Return what the other head reads, maps ``(B, C, H, W)``.

        Args:
            state: At the border.
            border: Its features.
        """
        raise NotImplementedError

    def loss(
        self,
        inputs: Any,
        data_samples: SampleList,
        train_cfg: dict,
        image: Tensor,
        state: State,
        entry: Any = (),
    ) -> dict[str, Tensor]:
        """Return the other head's losses.

        Args:
            inputs: The border's features; the state that they are read off takes their place.
            data_samples: With the label maps.
            train_cfg: As for any head.
            image: Normalized, ``(B, C, H, W)``.
            state: At the border.
            entry: What the module starts from, if the other head reads that.
        """
        return head_losses(self.head, self.features(state, inputs), data_samples, image, entry)
