"""mmengine's Runner with a console for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn

from ..hooks import ProgressHook, signals_noted
from ..local.local_losses import head_name
from ..local_heads.building import loss_weights
from .console import quieten


@RUNNERS.register_module()
class InfoProRunner(Runner):
    """Trains as its parent does; its console shows what a user can act on, its log file all."""

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Return the parent's logger with a quiet console."""
        logger = super().build_logger(*args, **kwargs)
        quieten(logger)
        return logger

    def train(self) -> nn.Module:
        """Say what trains, and train."""
        model = self.model.module if is_model_wrapper(self.model) else self.model
        for line in introduction(model):
            self.logger.info(line)
        self.logger.info(f'the full log: {self.logger.log_file}')
        with signals_noted():
            try:
                return super().train()
            finally:
                for hook in self.hooks:
                    if isinstance(hook, ProgressHook):  # whatever ended the run
                        hook.after_train(self)


def introduction(model: Any) -> Iterator[str]:
    """Say of what a model consists: network, local modules, their heads and the losses' weights.

    Args:
        model: Any segmentor.
    """
    boundaries = getattr(model, 'boundaries', ())
    modules = f'{len(boundaries) + 1} local modules' if boundaries else 'end to end'
    network = f'{type(model.backbone).__name__}, {type(model.decode_head).__name__}'
    yield f'{network}: {modules}'
    for index, boundary in enumerate(boundaries):
        heads = [_describe_head(head) for head in model.border_heads(index)]
        yield f'local_{index} to {boundary}: {", ".join(heads) or "frozen, without local heads"}'


def _describe_head(head: Any) -> str:
    weights = [f'{weight:g} {name}' for name, weight in loss_weights(head).items()]
    return f'{head_name(head)} ({" + ".join(weights)})' if weights else head_name(head)
