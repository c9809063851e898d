"""Say what fits a memory cap: which local modules, what they recompute, how large a step.

For end-to-end training, gradient checkpointing and local modules: the peak at the config's batch
and crop, whether that fits, the largest batch at this crop and the largest crop at this batch; and
which way to take. All steps run on fake tensors; the cap is what a card may hold, of which --margin
is not for tensors. What was measured is kept in the user's cache folder, for the next command.

Example:
    python tools/fit.py configs/infopro_deeplabv3_cityscapes.py --cap 11GiB -o fitting.py
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.console import Console
from rich.live import Live

from infopro.naming import call_of, this_call
from mmseg_infopro.commands import (
    add_amp_argument,
    add_step_arguments,
    check_outputs,
    command,
    config_parser,
)
from mmseg_infopro.config.arguments import (
    CAP,
    add_method_argument,
    add_recipe_argument,
    apply_method,
)
from mmseg_infopro.config.bases import check_config_output
from mmseg_infopro.config.caps import card_bytes
from mmseg_infopro.config.edit import override_step
from mmseg_infopro.config.explain import describe_peak
from mmseg_infopro.config.places import named
from mmseg_infopro.config.read import read_config
from mmseg_infopro.config.writing import inheriting_config, note_plan, plan_comment
from mmseg_infopro.files.outputs import check_distinct
from mmseg_infopro.files.whole import write_whole
from mmseg_infopro.local.setting_types import RECOMPUTE
from mmseg_infopro.local.settings import DEFAULT_MARGIN
from mmseg_infopro.measure.sizes import check_cap, parse_bytes, parse_share
from mmseg_infopro.report.answer import answer, fewer_to_try, recommended_row
from mmseg_infopro.report.baselines import E2E, WITH_CP, end_to_end_forms
from mmseg_infopro.report.fit_row import Cap, Row
from mmseg_infopro.report.fit_table import table_of
from mmseg_infopro.report.fitting import Fitter
from mmseg_infopro.report.way import Way

PLAIN = (E2E, WITH_CP)
"""Ways that any config trains in, without a partition."""


def parse_args() -> argparse.Namespace:
    parser = config_parser(__doc__)
    parser.add_argument(
        '--cap',
        '--memory-cap',
        required=True,
        metavar='SIZE',
        help=f'what a card may hold: {CAP}',
    )
    parser.add_argument(
        '--margin',
        default=DEFAULT_MARGIN,
        metavar='SIZE',
        help='of it, not for tensors (default: %(default)s)',
    )
    parser.add_argument(
        '--num-modules',
        nargs='+',
        type=int,
        metavar='K',
        help='numbers of local modules to try (default: 1 with auto, 2, 4, 8 where there are)',
    )
    parser.add_argument(
        '--recompute',
        choices=RECOMPUTE,
        help='inside the local modules (default: as --recipe says, auto without one)',
    )
    add_step_arguments(parser)
    add_amp_argument(parser)
    add_method_argument(parser)
    add_recipe_argument(parser)
    parser.add_argument(
        '-o', '--out', type=Path, help='write the config of the recommended way here'
    )
    parser.add_argument('--force', action='store_true', help='overwrite it')
    return parser.parse_args()


def fit_all(fitter: Fitter, forms: dict[Way, Config], asked: list[int] | None) -> list[Row]:
    """Return all rows, and show each as it comes; other numbers of modules if none is asked for."""
    rows: list[Row] = []
    counts = asked or fitter.counts()
    works: list[tuple[str, Callable[[], Row]]] = [
        (way.word, partial(fitter.end_to_end, way, form)) for way, form in forms.items()
    ]
    works += [(f'K={count}', partial(fitter.local, count)) for count in counts]
    console = Console()
    with Live(console=console) as live:
        for number, (name, work) in enumerate(works, start=1):
            live.update(table_of(rows, fitter.cap, f'{number} of {len(works)}: {name} ...'))
            rows.append(work())
        if recommended_row(rows, fitter.cap) is None and fitter.settings.recompute == 'auto':
            live.update(table_of(rows, fitter.cap, 'as many modules as it takes ...'))
            rows.append(fitter.local(None))
        fewer = fewer_to_try(rows, fitter.cap)
        if fewer and not asked:
            live.update(table_of(rows, fitter.cap, 'whether fewer modules do ...'))
            rows += filter(None, [fitter.fewest_of(fewer)])
        live.update(table_of(rows, fitter.cap))
    if not console.is_terminal:  # there the live table ends its line itself
        console.line()
    return rows


def describe_partitions(rows: list[Row]) -> None:
    console = Console()
    for row in rows:
        if row.num_modules > 1:
            boundaries = row.cfg.model.local.boundaries
            console.print(f'{row.way.word}: boundaries={boundaries}', highlight=False)
            if not row.fits:
                text = f'    the smallest peak found, which does not fit: {describe_peak(row.step)}'
                console.print(text, highlight=False)


def as_json(row: Row, chosen: Row | None) -> dict[str, Any]:
    return dict(
        name=row.way.word,
        peak=row.step.peak.total,
        flops=row.step.flops,
        fits=row.fits,
        recommended=row is chosen,
        largest_batch=row.batch,
        largest_crop=row.crop,
        fixed_crop=row.fixed_crop,
        boundaries=row.cfg.model.local.boundaries,
        recompute=row.cfg.model.local.get('recompute', 'none'),
    )


def write(args: argparse.Namespace, base: Config, row: Row, end_to_end: int) -> None:
    """Write the config of the recommended row."""
    note_plan(row.cfg, row.step.peak.total)
    if changes_step(args):
        text = row.cfg.pretty_text  # a child that says what was changed would be as long
    else:
        text = inheriting_config(base, args.config, row.cfg, args.out)
    write_whole(args.out, plan_comment(row.cfg, this_call(), end_to_end, args.cap) + text)


def changes_step(args: argparse.Namespace) -> bool:
    return bool(args.crop or args.amp or args.batch_size or args.cfg_options)


def commands(args: argparse.Namespace, base: Config, row: Row) -> list[str]:
    """Return the command lines that train as a row says."""
    train = call_of('train')
    is_plain = row.way in PLAIN and 'local' not in base.model and not changes_step(args)
    if args.out:
        return [shlex.join([*train, str(args.out)])]
    if is_plain:
        return [shlex.join([*train, args.config, *row.way.arguments({})])]
    out = f'{Path(args.config).stem}_fit.py'
    write_it = [*this_call(), '-o', out]
    return [shlex.join(write_it), shlex.join([*train, out])]


@command
def main() -> None:
    args = parse_args()
    with named('--cap'):
        check_cap(args.cap)
    with named('--margin'):
        margin = parse_bytes(args.margin)
    if parse_share(args.cap) is None and parse_bytes(args.cap) <= margin:
        raise ValueError(f'--cap must be above --margin={args.margin}, got {args.cap}')
    check_outputs(args.json, inputs=[args.config])
    check_config_output('--out', args.out, args.config, force=args.force)
    check_distinct(json=args.json, out=args.out)
    base = read_config(args.config, args.cfg_options)
    cfg = apply_method(deepcopy(base), args.method, args.recipe, args.heads)
    override_step(cfg, args.batch_size, tuple(args.crop) if args.crop else None, args.amp)
    cap = Cap(card_bytes(cfg, args.cap, margin), margin)
    own = cfg.model.local.get('recompute', 'none') if args.recipe else 'auto'
    fitter = Fitter(cfg, args.recompute or own, cap)
    for count in args.num_modules or ():
        fitter.check(count)
    rows = fit_all(fitter, end_to_end_forms(cfg), args.num_modules)
    describe_partitions(rows)
    chosen = recommended_row(rows, cap)
    if args.json:
        write_whole(args.json, json.dumps([as_json(row, chosen) for row in rows], indent=2) + '\n')
    if args.out and chosen:
        write(args, base, chosen, rows[0].step.peak.total)
    console = Console(soft_wrap=True, highlight=False)
    console.print(answer(rows, cap))
    for line in commands(args, base, chosen) if chosen else ():
        console.print(f'    {line}')
    if args.out and not chosen:
        raise ValueError(f'{args.out} was not written: nothing fits {args.cap}')


if __name__ == '__main__':
    sys.exit(main())
