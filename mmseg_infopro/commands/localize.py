"""Write the local form of any mmseg config: a short config that inherits from it."""

from __future__ import annotations

from argparse import Namespace

from rich.console import Console

from infopro.naming import this_call

from ..config.answers import peak_and_saving, what_lowers_it
from ..config.arguments import apply_partition_arguments
from ..config.bases import check_config_output
from ..config.caps import plain_end_to_end
from ..config.helpful import with_helpful_modules
from ..config.read import read_config
from ..config.resolve import resolve
from ..config.step import dry_config_step
from ..config.writing import inheriting_config, note_plan, plan_comment
from ..files.whole import write_whole
from ..local.settings import PARTITION_KEYS
from .ending import command


@command
def main(args: Namespace) -> None:
    partition = all(getattr(args, key) is None for key in PARTITION_KEYS)
    if partition and args.method is None and args.heads is None:
        raise ValueError('say --num-modules, --boundaries or --memory-cap')
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
