"""Say what fits a memory cap: which local modules, what they recompute, how large a step.

For end-to-end training, gradient checkpointing and local modules: the peak at the config's batch
and crop, whether that fits, the largest batch at this crop and the largest crop at this batch. All
steps run on fake tensors; the cap is what a card may hold, of which --margin is not for tensors.

Example:
    python tools/fit.py configs/infopro_deeplabv3_cityscapes.py --cap 11GiB -o fitting.py
"""

from __future__ import annotations

import argparse
import json
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from mmseg_infopro.commands import (
    add_amp_argument,
    add_step_arguments,
    check_outputs,
    command,
    config_parser,
    progress_bar,
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
from mmseg_infopro.config.read import read_config
from mmseg_infopro.config.writing import inheriting_config, note_plan, plan_comment
from mmseg_infopro.files.outputs import check_distinct
from mmseg_infopro.files.whole import write_whole
from mmseg_infopro.local.settings import DEFAULT_MARGIN, RECOMPUTE
from mmseg_infopro.measure.sizes import check_cap, parse_bytes, parse_share, table_unit
from mmseg_infopro.report.baselines import end_to_end_forms
from mmseg_infopro.report.fitting import Cap, LocalFitter, Row, fit_end_to_end


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
        help='numbers of local modules to show; without it, the smallest that fits',
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
    parser.add_argument('-o', '--out', type=Path, help='write the first local row that fits here')
    parser.add_argument('--force', action='store_true', help='overwrite it')
    return parser.parse_args()


def show(rows: list[Row], local: int, cap: Cap) -> None:
    """Print the table; the last ``local`` rows are of local modules."""
    first = rows[0].step
    unit, size = table_unit(first.peak.total)
    card, margin, tensors = (n / size for n in (cap.total, cap.margin, cap.tensors))
    table = Table(
        title=f'{tensors:.2f} {unit} for tensors: {card:.2f} less a margin of {margin:.2f}'
    )
    headers = ('', f'peak, {unit}', 'share', 'FLOPs', 'fits', 'largest batch', 'largest crop')
    for header in headers:
        table.add_column(header, justify='right' if header else 'left')
    for row in rows:
        peak = row.step.peak.total
        table.add_row(
            row.name,
            f'{peak / size:.2f}',
            f'{peak / first.peak.total:.1%}',
            f'{row.step.flops / first.flops - 1:+.1%}' if row is not rows[0] else '',
            'yes' if row.fits else 'no',
            str(row.batch or 'none'),
            describe_crop(row),
        )
    console = Console()
    console.print(table)
    for row in rows[-local:]:
        settings = row.cfg.model.local
        console.print(f'{row.name}: boundaries={settings.boundaries}', highlight=False)
        if not row.fits:
            text = f'    the smallest peak found, which does not fit: {describe_peak(row.step)}'
            console.print(text, highlight=False)


def describe_crop(row: Row) -> str:
    text = '{}x{}'.format(*row.crop) if row.crop else 'none'
    return f'{text} (fixed)' if row.fixed_crop else text


def as_json(row: Row) -> dict[str, Any]:
    return dict(
        name=row.name,
        peak=row.step.peak.total,
        flops=row.step.flops,
        fits=row.fits,
        largest_batch=row.batch,
        largest_crop=row.crop,
        fixed_crop=row.fixed_crop,
        boundaries=row.cfg.model.local.boundaries,
        recompute=row.cfg.model.local.get('recompute', 'none'),
    )


def write(args: argparse.Namespace, base: Config, rows: list[Row], end_to_end: int) -> None:
    """Write the config of the first row that fits."""
    fitting = next((row for row in rows if row.fits), None)
    if fitting is None:
        raise ValueError(f'{args.out} was not written: nothing fits {args.cap}')
    note_plan(fitting.cfg, fitting.step.peak.total)
    if args.crop or args.amp or args.batch_size or args.cfg_options:
        text = fitting.cfg.pretty_text  # a child that says what was changed would be as long
    else:
        text = inheriting_config(base, args.config, fitting.cfg, args.out)
    write_whole(args.out, plan_comment(fitting.cfg, sys.argv, end_to_end, args.cap) + text)
    Console().print(f'{args.out}: {fitting.name}', highlight=False)


@command
def main() -> None:
    args = parse_args()
    check_cap(args.cap)
    margin = parse_bytes(args.margin)
    if parse_share(args.cap) is None and parse_bytes(args.cap) <= margin:
        raise ValueError(f'--cap must be above --margin={args.margin}, got {args.cap}')
    check_outputs(args.json)
    check_config_output('--out', args.out, args.config, force=args.force)
    check_distinct(json=args.json, out=args.out)
    base = read_config(args.config, args.cfg_options)
    cfg = apply_method(deepcopy(base), args.method, args.recipe, args.heads)
    override_step(cfg, args.batch_size, tuple(args.crop) if args.crop else None, args.amp)
    cap = Cap(card_bytes(cfg, args.cap, margin), margin)
    forms, counts = end_to_end_forms(cfg), args.num_modules or [None]
    own = cfg.model.local.get('recompute', 'none') if args.recipe else 'auto'
    recompute = args.recompute or own
    fitter = LocalFitter(cfg, recompute, cap)
    for count in args.num_modules or ():
        fitter.check(count)
    rows = []
    with progress_bar('fitting', len(forms) + len(counts)) as advance:
        for name, form in forms.items():
            rows.append(fit_end_to_end(name, form, cap))
            advance()
        for count in counts:
            rows.append(fitter.row(count))
            advance()
    show(rows, len(counts), cap)
    if args.json:
        write_whole(args.json, json.dumps([as_json(row) for row in rows], indent=2) + '\n')
    if args.out:
        write(args, base, rows[-len(counts) :], rows[0].step.peak.total)


if __name__ == '__main__':
    sys.exit(main())
