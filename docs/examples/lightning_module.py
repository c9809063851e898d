"""Local modules in Lightning: manual optimization, since a step has a backward pass per module."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper

from docs.examples.plain_pytorch import build_model


class LocalSegmentor(LightningModule):
    """Trains a segmentor in its local modules.

    Args:
        cfg: Of a model with local modules.
        lr: Of SGD with momentum.
    """

    def __init__(self, cfg: Config, lr: float = 0.01) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model, self.lr = build_model(cfg), lr

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return what updates all modules; ``scheduler.step()`` would be called by hand, too."""
        return torch.optim.SGD(self.model.parameters(), self.lr, momentum=0.9, weight_decay=5e-4)

    def training_step(self, batch: dict[str, list[Any]], batch_idx: int) -> None:
        """Take a step; ``batch`` is what :func:`~docs.examples.plain_pytorch.collate` makes."""
        MessageHub.get_current_instance().update_info('iter', self.global_step)
        optimizer = self.optimizers(use_pl_optimizer=True)
        losses = self.model.train_step(batch, OptimWrapper(optimizer))
        self.log_dict({name: value for name, value in losses.items() if 'loss' in name})
