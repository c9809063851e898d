"""Command lines that say where the local modules are."""

from __future__ import annotations

from argparse import Namespace

from mmengine.config import Config


def place_by_arguments(args: Namespace) -> None:
    """Read ``--modules`` as what it stands for, in place.

    Raises:
        ValueError: Something else says another partition or placement.
    """
    if args.modules is None:
        return
    for key in ('num_modules', 'boundaries', 'memory_cap'):
        if getattr(args, key) is not None:
            raise ValueError(
                f'--modules {args.modules} and --{key.replace("_", "-")} {getattr(args, key)} are '
                'two partitions: leave out one'
            )
    if args.placement == 'replicate':
        raise ValueError(
            f'--modules {args.modules} is a pipeline, and --placement replicate is none: say '
            f'--num-modules {args.modules}'
        )
    args.num_modules, args.placement = args.modules, 'pipeline'


def apply_placement(cfg: Config, args: Namespace) -> None:
    """Write ``--placement`` into a config, in place.

    Raises:
        ValueError: It has no local modules to place.
    """
    if args.placement is None:
        return
    if 'local' not in cfg.model:
        raise ValueError(
            f'--placement {args.placement} places local modules, and the config has none: add '
            '--num-modules'
        )
    cfg.model.local.placement = args.placement
