"""What a run will need, in a line at its start."""

from __future__ import annotations

import shlex
from copy import deepcopy

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger

from infopro.naming import call_of

from ..config.answers import peak_and_saving
from ..config.caps import plain_end_to_end
from ..config.read import config_name
from ..config.step import dry_config_step
from ..hooks.memory_hook import unsynchronized


def log_prediction(cfg: Config) -> None:
    """Log the predicted peak of a training step, and what it saves of end-to-end training's.

    Args:
        cfg: As a Runner gets it. Without local modules nothing is said.
    """
    if 'local' not in cfg.model or not is_main_process():
        return
    logger = MMLogger.get_current_instance()
    cfg = deepcopy(cfg)
    cfg.model = unsynchronized(cfg.model)
    try:
        line = peak_and_saving(dry_config_step(cfg), dry_config_step(plain_end_to_end(cfg)))
        call = shlex.join(
            [*call_of('memory'), config_name(cfg.filename) if cfg.filename else 'CONFIG']
        )
        line += f'; {call} tries what lowers it'
    except (ValueError, TypeError, RuntimeError) as error:
        line = f'the peak of a step is not predicted: its dry step failed ({error})'
    logger.info(line)
