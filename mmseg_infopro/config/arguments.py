"""Command lines that ask for a partition or a method of any config."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from mmengine.config import Config

from ..local.infopro_heads import TASK
from ..local.settings import PARTITION_KEYS
from .localize import localize
from .methods import METHODS
from .options import check_contradictions
from .recipe_costs import help_table
from .recipes import DEFAULT, RECIPES

CAP = '11GiB, or 40%% of what E2E needs for tensors'
"""What a cap may be, in the help."""


def add_partition_arguments(parser: ArgumentParser) -> None:
    """Let a command line ask for a partition of any config."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        '--num-modules', type=int, metavar='K', help='train in K local modules, any mmseg config'
    )
    group.add_argument(
        '--boundaries', nargs='+', metavar='UNIT', help='units after which a local module ends'
    )
    group.add_argument('--memory-cap', metavar='SIZE', help=f'the fewest modules that fit {CAP}')
    add_method_argument(parser)
    add_recipe_argument(parser)


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


def add_method_argument(parser: ArgumentParser, compares: bool = False) -> None:
    """Let a command line name a method, and the form of its heads.

    Args:
        parser: Of the command.
        compares: Several forms of heads may be named.
    """
    parser.add_argument(
        '--method',
        metavar='NAME',
        help=f"in place of the config's local heads, schedule and context: {', '.join(METHODS)}",
    )
    parser.add_argument(
        '--heads',
        nargs='+' if compares else None,
        choices=[*TASK],
        help="InfoPro's local heads in place of the config's, or of the method's: fitted to a "
        "share of the network's FLOPs, as methods have them by default, or the paper's",
    )


def add_recipe_argument(parser: ArgumentParser) -> None:
    """Let a command line name a recipe."""
    parser.epilog = help_table()
    words = '; '.join(f'{word}: {recipe.summary}' for word, recipe in RECIPES.items())
    parser.add_argument(
        '--recipe',
        metavar='WORD',
        help='what a step keeps and makes again, with the same gradients (default: of a config '
        f'that has local modules its own, else {DEFAULT}). {words}. A lever may be added, as in '
        'lean+offload',
    )
