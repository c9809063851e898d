"""Train mmsegmentation models under a memory cap, in gradient-isolated local modules.

Importing this package registers its backbones, heads, segmentors, data sets and hooks in mmseg's
registries, and makes ``_base_ = 'mmseg::...'`` and ``_base_ = 'mmseg_infopro::...'`` work.
"""

from .dependencies import quiet_imports, require_mmseg

require_mmseg()

with quiet_imports():
    from . import backbones, config, datasets, evaluation, hooks, local_heads, parallel, segmentors
from .config.localize import localize  # noqa: E402
from .config.resolve import resolve  # noqa: E402

__version__ = '0.1.0'

__all__ = [
    'backbones',
    'config',
    'datasets',
    'evaluation',
    'hooks',
    'local_heads',
    'localize',
    'parallel',
    'resolve',
    'segmentors',
]
