"""Command lines that ask for a partition or a method of any config."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from mmengine.config import Config

from ..local.settings import PARTITION_KEYS
from .localize import localize
from .options import check_contradictions


def apply_partition_arguments(cfg: Config, args: Namespace) -> Config:
    """Return the local form that a command line asks for; the config itself without a wish."""
    check_contradictions(args)
    partition = {key: getattr(args, key) for key in PARTITION_KEYS}
    if all(wish is None for wish in partition.values()):
        if args.method is None and args.recipe is None and args.heads is None:
            return cfg
        partition = {} if args.method == 'e2e' else own_partition(cfg)
    return localize(cfg, **partition, method=args.method, recipe=args.recipe, heads=args.heads)


def own_partition(cfg: Config) -> dict[str, Any]:
    """Return the one of :data:`PARTITION_KEYS` that a config has.

    Raises:
        ValueError: It has none.
    """
    local = cfg.model.get('local') or {}
    found = {key: local[key] for key in PARTITION_KEYS if local.get(key) is not None}
    if not found:
        raise ValueError(
            'the config has no local modules: say --num-modules, --boundaries or --memory-cap '
            'beside --method, --recipe and --heads'
        )
    return found


def apply_method(
    cfg: Config, method: str | None, recipe: str | None = None, heads: str | None = None
) -> Config:
    """Return a config with a method, a recipe and heads, for commands that choose the partition.

    Raises:
        ValueError: There is no such method, recipe or form of heads, or it has no local modules.
    """
    if method is None and recipe is None and heads is None:
        return cfg
    if method == 'e2e':
        raise ValueError('--method e2e is end-to-end training, which is a row of its own anyway')
    is_cut = 'local' in cfg.model
    partition = own_partition(cfg) if is_cut else dict(num_modules=2)
    return localize(cfg, **partition, method=method, recipe=recipe, heads=heads)
