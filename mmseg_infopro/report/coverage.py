"""Which configs train in local modules: every one is localized, built and stepped on fake data."""

from __future__ import annotations

import json
import traceback
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.utils import get_installed_path

from ..config.build import build_model
from ..config.localize import localize
from ..config.pretrained import without_pretrained
from ..config.resolve import resolve
from ..config.step import step_shape
from ..measure.dry_step import dry_step_gradients
from ..planning.batch import training_batch

BATCH_SIZE = 2
STEPS, WORKS = 'steps', 'works'


@dataclass
class Coverage:
    """What became of one config.

    Attributes:
        config: Its name, ``family/file``.
        plain: ``steps``, or why the config as it is does not.
        local: For each K ``works``, ``refused: ...``, ``fails: ...`` or ``not tried: ...``.
    """

    config: str
    plain: str = ''
    local: dict[int, str] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """The folder that the config is in."""
        return self.config.partition('/')[0]


def installed_configs(package: str = 'mmseg') -> dict[str, Path]:
    """Return the configs that an installed package ships by name, base configs apart."""
    folder = Path(get_installed_path(package)) / '.mim' / 'configs'
    files = sorted(folder.glob('*/*.py'))
    return {str(file.relative_to(folder)): file for file in files if '_base_' not in file.parts}


def cover(name: str, file: Path, num_modules: Sequence[int]) -> Coverage:
    """Step a config as it is, then in each number of local modules."""
    result = Coverage(name)
    try:
        cfg = small_batch(Config.fromfile(file))
    except Exception as error:
        result.plain = describe(error)
        return result
    expected: set[str] | None = None
    try:
        expected = trained_parameters(cfg)
        result.plain = STEPS
    except Exception as error:
        result.plain = describe(error)
    result.local = {count: local_outcome(cfg, count, expected) for count in num_modules}
    return result


def local_outcome(cfg: Config, num_modules: int, expected: set[str] | None) -> str:
    """Step a config in local modules, and compare what trains with what ``expected`` names."""
    try:
        local = localize(cfg, num_modules)
    except (TypeError, ValueError) as error:
        return f'refused: {error}'
    if expected is None:
        return 'not tried: the plain config does not step'
    try:
        trained = trained_parameters(resolve(local))
    except Exception as error:
        return f'fails: {describe(error)}'
    missing = sorted(expected - trained)
    if missing:
        return f'fails: no gradient for {len(missing)} parameters, as {missing[0]}'
    return WORKS


def signature(file: Path) -> str:
    """Return a text that two configs share if they step alike: model and optimizer."""
    cfg = small_batch(Config.fromfile(file))
    return json.dumps([cfg.model, cfg.optim_wrapper], default=str, sort_keys=True)


def trained_parameters(cfg: Config) -> set[str]:
    """Take one dry step; return the names of the parameters that got a gradient."""
    model_cfg = without_pretrained(cfg.model)
    shape = step_shape(cfg)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = build_model(model_cfg)
        return dry_step_gradients(model, cfg.optim_wrapper, lambda: training_batch(shape))


def small_batch(cfg: Config) -> Config:
    """Return a copy with a batch of two and no pretrained weights."""
    cfg = deepcopy(cfg)
    cfg.train_dataloader.batch_size = BATCH_SIZE
    cfg.model = without_pretrained(cfg.model)
    return cfg


def describe(error: Exception) -> str:
    """Return an error's kind and first line, and where it was raised."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    line = (str(error).strip() or 'no message').splitlines()[0]
    return f'{type(error).__name__}: {line} ({Path(where.filename).name}:{where.lineno})'
