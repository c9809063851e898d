"""mmengine's Runner with a console for people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from ..config.pretrained import ALLOW_FEW
from ..files.whole import write_whole
from ..hooks import ProgressHook, signals_noted, whole_state
from ..hooks.stopping import PatientWorker
from ..local.local_losses import head_name
from ..local_heads.building import loss_weights
from ..parallel import ModuleParallel
from .console import quieten
from .taken import check_pretrained


@RUNNERS.register_module()
class InfoProRunner(Runner):
    """Trains as its parent does; its console shows what a user can act on, its log file all."""

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Return the parent's logger with a quiet console."""
        logger = super().build_logger(*args, **kwargs)
        quieten(logger)
        return logger

    @staticmethod
    def build_dataloader(*args: Any, **kwargs: Any) -> DataLoader:
        """Return the parent's loader, whose workers a signal to the run does not end."""
        loader = Runner.build_dataloader(*args, **kwargs)
        loader.worker_init_fn = PatientWorker(loader.worker_init_fn)
        return loader

    def load_or_resume(self) -> None:
        """Load as the parent does; what pretrained weights have filled is said, or refused."""
        if self.cfg.get('load_from') is None and not self.cfg.get('resume'):
            model = self.model.module if is_model_wrapper(self.model) else self.model
            check_pretrained(model, self.cfg.get(ALLOW_FEW, False))
        super().load_or_resume()

    def save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Save as the parent does, all modules of a pipeline in one file (collective)."""
        with whole_state(self):
            super().save_checkpoint(*args, **kwargs)

    @master_only
    def dump_config(self) -> None:
        """Write the config that runs into the work dir, whole, and never over one of a user's."""
        name = Path(self.cfg.filename or f'{self.timestamp}.py').name
        target = Path(self.work_dir, name)
        if target.exists() and not is_dump(target, self.cfg.filename):
            target = target.with_name(f'run_{name}')
            self.logger.warning(
                f'{self.work_dir} holds a config {name} that no run has dumped: the one that runs '
                f'is dumped to {target.name}'
            )
        write_whole(target, self.cfg.dump())

    def train(self) -> nn.Module:
        """Say what trains, and train."""
        model = self.model.module if is_model_wrapper(self.model) else self.model
        for line in introduction(model):
            self.logger.info(line)
        self.logger.info(f'the full log: {self.logger.log_file}')
        with signals_noted():
            try:
                return super().train()
            except Exception as error:
                if isinstance(self.model, ModuleParallel):
                    vars(error)['ends_at_once'] = True
                raise
            finally:
                for hook in self.hooks:
                    if isinstance(hook, ProgressHook):  # whatever ended the run
                        hook.after_train(self)


def is_dump(file: Path, config: str | None) -> bool:
    """Whether a file in a work dir is an earlier run's dump, not what a user wrote or starts from.

    A dump is one config without bases, which knows its work dir and launcher.
    """
    if config and Path(config).exists() and file.samefile(config):
        return False
    text = file.read_text(errors='replace')
    return all(re.search(rf'^\W*{key}\W', text, re.M) for key in ('work_dir', 'launcher'))


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
