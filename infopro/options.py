"""Options that several commands share. Nothing here imports more than the standard library."""

from __future__ import annotations

from argparse import (
    Action,
    ArgumentError,
    ArgumentParser,
    Namespace,
    RawDescriptionHelpFormatter,
)
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from .words import DEFAULT_RECIPE, HEADS, METHODS, PRECISIONS, RECIPES

CONFIG = 'a config file, or mmseg::NAME for one of mmseg'
CAP = '11GiB, or 40%% of what E2E needs for tensors'
"""What a cap may be, in the help."""
COSTS = Path(__file__).with_name('recipe_costs.txt')
"""What recipes cost, for the help. Written by ``tools/recipes.py``."""


def fill_parser(parser: ArgumentParser, command: str) -> ArgumentParser:
    """Give a parser what a command takes, and says of itself.

    Args:
        parser: A new one.
        command: Its module in ``infopro.parsers``.
    """
    module = import_module(f'.parsers.{command}', __package__)
    parser.description = module.__doc__
    parser.formatter_class = RawDescriptionHelpFormatter
    module.add_arguments(parser)
    return parser


class SettingsAction(Action):
    """Collects settings that are written as ``key=value``, values as they were typed."""

    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Add the settings to those that an earlier option gave.

        Raises:
            ArgumentError: One has no value or no key, or is a dict.
        """
        for setting in values or ():
            key, equals, value = str(setting).partition('=')
            if not (key.strip('. ') and equals):
                raise ArgumentError(self, f'a setting is written as key=value, got {setting!r}')
            if 'dict(' in value or '{' in value:
                raise ArgumentError(
                    self, f'{key} cannot be a dict here: write it in a config, got {value}'
                )
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or ()), *(values or ())])


def add_config(parser: ArgumentParser, trusted: bool = False) -> None:
    """Let a command take a config, one that it runs with weights or data if ``trusted``."""
    more = '; configs are code, run only what you trust' if trusted else ''
    parser.add_argument('config', help=CONFIG + more)


def add_cfg_options(parser: ArgumentParser) -> None:
    """Let a command line change settings of the config."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=SettingsAction,
        metavar='KEY=VALUE',
        help='settings as key=value; one of model.local.num_modules, model.local.boundaries and '
        'model.local.memory_cap replaces the others',
    )


def add_config_and_step(parser: ArgumentParser, compares: bool = False) -> None:
    """Let a command take a config, and change the step that it trains by.

    Args:
        parser: Of the command.
        compares: It has an ``--amp`` of its own, and several forms of heads may be named.
    """
    add_config(parser)
    add_cfg_options(parser)
    add_step_arguments(parser)
    if not compares:
        add_amp_argument(parser)
    add_method_argument(parser, compares)
    add_recipe_argument(parser)


def add_counts(parser: ArgumentParser) -> None:
    """Let a command line compare numbers of local modules."""
    parser.add_argument(
        '--num-modules',
        nargs='+',
        type=int,
        metavar='K',
        help="numbers of local modules to compare; without it, the config's own partition",
    )


def add_step_arguments(parser: ArgumentParser) -> None:
    """Let a command line change the size of the training step, and write its figures."""
    parser.add_argument('--batch-size', type=int, help='images per process')
    parser.add_argument('--crop', nargs=2, type=int, metavar=('HEIGHT', 'WIDTH'), help='pixels')
    parser.add_argument('--json', type=Path, help='write the figures to this file as well')


def add_amp_argument(parser: ArgumentParser) -> None:
    """Let a command line choose the precision of the training step."""
    parser.add_argument('--amp', choices=PRECISIONS, help='mixed precision, or none')


def add_launcher_arguments(parser: ArgumentParser) -> None:
    """Let a launcher start a command in several processes."""
    launchers = ['none', 'pytorch', 'slurm', 'mpi']
    parser.add_argument('--launcher', choices=launchers, default='none', help='of the job')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by torchrun')


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
        choices=HEADS,
        help="InfoPro's local heads in place of the config's, or of the method's: fitted to a "
        "share of the network's FLOPs, as methods have them by default, or the paper's",
    )


def add_recipe_argument(parser: ArgumentParser) -> None:
    """Let a command line name a recipe."""
    parser.epilog = COSTS.read_text()
    words = '; '.join(f'{word}: {summary}' for word, summary in RECIPES.items())
    parser.add_argument(
        '--recipe',
        metavar='WORD',
        help='what a step keeps and makes again, with the same gradients (default: of a config '
        f'that has local modules its own, else {DEFAULT_RECIPE}). {words}. A lever may be added, '
        'as in lean+offload',
    )
