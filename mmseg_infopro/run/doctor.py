"""What is installed, what it can do, and what would fail."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import torch
import torch.distributed

from .. import __version__
from ..dependencies import PROVIDERS
from ..measure.sizes import format_bytes

EIGHT_BIT = "'mmseg-infopro[eightbit]'"
EXTRAS = {
    'tensorboard': ('tensorboard', 'TensorboardVisBackend'),
    'wandb': ('wandb', 'WandbVisBackend'),
    'efficientnet_lite_pytorch': ('efficientnet-lite-pytorch', 'the backbone EfficientNetLite'),
    'timm': ('timm', 'the backbone TIMMBackbone'),
    'mmpretrain': ('onedl-mmpretrain or mmpretrain', 'ConvNeXt, PoolFormer, BEiT of mmpretrain'),
    'mmdet': ('onedl-mmdetection or mmdet', 'MaskFormer and Mask2Former'),
    'bitsandbytes': (EIGHT_BIT, "bitsandbytes' optimizers of 8 bits"),
    'torchao': (EIGHT_BIT, "torchao's optimizers of 8 bits"),
}
"""Optional modules: what to install for each, and what needs it."""
SMALLEST_TORCH = (2, 6)


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's.

    Attributes:
        name: What was looked at.
        text: What was found.
        fails: Whether something that was asked for will not work.
    """

    name: str
    text: str
    fails: bool = False


def findings() -> Iterator[Finding]:
    """Yield what is installed, in order of importance."""
    yield Finding('mmseg_infopro', f'{__version__} on Python {platform.python_version()}')
    yield _torch()
    yield _gpu()
    yield from _mm_packages()
    yield _compiled_operators()
    yield _collectives()
    for module, (package, use) in EXTRAS.items():
        if find_spec(module) is None:
            yield Finding(module, f'not installed: {use} would need it (pip install {package})')
        else:
            yield Finding(module, f'installed, for {use}')


def _torch() -> Finding:
    numbers = tuple(int(part) for part in torch.__version__.split('.')[:2])
    if numbers < SMALLEST_TORCH:
        smallest = '.'.join(map(str, SMALLEST_TORCH))
        return Finding('torch', f'{torch.__version__}, but {smallest} or newer is needed', True)
    return Finding('torch', torch.__version__)


def _gpu() -> Finding:
    if torch.cuda.is_available():
        names = [
            f'{torch.cuda.get_device_name(index)} '
            f'({format_bytes(torch.cuda.get_device_properties(index).total_memory)})'
            for index in range(torch.cuda.device_count())
        ]
        return Finding('GPU', f'{", ".join(names)}, CUDA {torch.version.cuda}')
    if torch.version.cuda is None:
        return Finding('GPU', 'none: this torch is built for CPUs only; training works, slowly')
    return Finding('GPU', f'torch is built for CUDA {torch.version.cuda} and finds no GPU')


def _mm_packages() -> Iterator[Finding]:
    kinds = set()
    for module, providers in PROVIDERS.items():
        installed = {name: found for name in providers if (found := _version(name)) is not None}
        kinds |= {name.startswith('onedl') for name in installed}
        text = ', '.join(f'{name} {found}' for name, found in installed.items())
        where = '' if installed else 'on the path, from no installed distribution'
        yield Finding(module, text or where, fails=len(installed) > 1)
    if len(kinds) > 1:
        yield Finding(
            'distributions',
            "OneDL's and the original ones are mixed: install one set only",
            fails=True,
        )


def _compiled_operators() -> Finding:
    if find_spec('mmcv._ext') is not None:
        return Finding('compiled operators', 'there')
    return Finding(
        'compiled operators',
        'not there: CCNet, PSANet, PointRend and other networks that use mmcv.ops will not run',
    )


def _collectives() -> Finding:
    if not torch.distributed.is_available():
        return Finding('several processes', 'torch.distributed is not available', True)
    found = [
        name
        for name, there in (
            ('nccl', torch.distributed.is_nccl_available()),
            ('gloo', torch.distributed.is_gloo_available()),
        )
        if there
    ]
    return Finding('several processes', f'{", ".join(found)}' or 'no backend', not found)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
