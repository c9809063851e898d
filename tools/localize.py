"""Write the local form of any mmseg config: a short config that inherits from it.

Example:
    python tools/localize.py mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py \\
        --num-modules 4 -o configs/local_pspnet_r50.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from infopro.naming import this_call
from mmseg_infopro.commands import command
from mmseg_infopro.config.answers import peak_and_saving, what_lowers_it
from mmseg_infopro.config.arguments import add_partition_arguments, apply_partition_arguments
from mmseg_infopro.config.bases import check_config_output
from mmseg_infopro.config.caps import plain_end_to_end
from mmseg_infopro.config.helpful import with_helpful_modules
from mmseg_infopro.config.read import read_config
from mmseg_infopro.config.resolve import resolve
from mmseg_infopro.config.step import dry_config_step
from mmseg_infopro.config.writing import inheriting_config, note_plan, plan_comment
from mmseg_infopro.files.whole import write_whole
from mmseg_infopro.local.settings import PARTITION_KEYS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='a config file, or mmseg::NAME for one of mmseg')
    add_partition_arguments(parser)
    parser.add_argument('-o', '--out', type=Path, required=True, help='the config to write')
    parser.add_argument(
        '--force', action='store_true', help='overwrite it, and keep a K that saves nothing'
    )
    brief = 'do not try whether fewer modules save as much, nor what would lower the peak'
    parser.add_argument('--brief', action='store_true', help=brief)
    args = parser.parse_args()
    partition = all(getattr(args, key) is None for key in PARTITION_KEYS)
    if partition and args.method is None and args.heads is None:
        parser.error('say --num-modules, --boundaries or --memory-cap')
    return args


@command
def main() -> None:
    args = parse_args()
    check_config_output('--out', args.out, args.config, force=args.force)
    base = read_config(args.config)
    cfg = apply_partition_arguments(base, args)
    if args.method is None and not args.brief:
        cfg = with_helpful_modules(cfg, args.force)
    resolved = resolve(cfg)  # so that a partition that fails is not kept
    step, end_to_end = dry_config_step(resolved), dry_config_step(plain_end_to_end(cfg))
    note_plan(cfg, step.peak.total)
    text = inheriting_config(base, args.config, cfg, args.out)
    comment = plan_comment(cfg, this_call(), end_to_end.peak.total, args.memory_cap)
    write_whole(args.out, comment + text)
    boundaries = resolved.model.local.boundaries
    console = Console(highlight=False, soft_wrap=True)
    console.print(f'{args.out}: K={len(boundaries) + 1}, boundaries={boundaries}')
    console.print(peak_and_saving(step, end_to_end))
    if boundaries and not args.brief:
        console.print(what_lowers_it(resolved, step))


if __name__ == '__main__':
    sys.exit(main())
