"""Say what fits a memory cap: which local modules, what they recompute, how large a step."""

from __future__ import annotations

import json
import shlex
from argparse import Namespace
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.console import Console
from rich.live import Live

from infopro.naming import call_of, this_call

from ..config.arguments import (
    apply_method,
)
from ..config.bases import check_config_output
from ..config.caps import card_bytes
from ..config.edit import override_step
from ..config.explain import describe_peak
from ..config.places import named
from ..config.read import read_config
from ..config.writing import inheriting_config, note_plan, plan_comment
from ..files.outputs import check_distinct
from ..files.whole import write_whole
from ..measure.sizes import check_cap, parse_bytes, parse_share
from ..report.answer import answer, fewer_to_try, recommended_row
from ..report.baselines import E2E, WITH_CP, end_to_end_forms
from ..report.fit_row import Cap, Row
from ..report.fit_table import table_of
from ..report.fitting import Fitter
from ..report.way import Way
from .ending import command
from .outputs import check_outputs

PLAIN = (E2E, WITH_CP)
"""Ways that any config trains in, without a partition."""


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


def write(args: Namespace, base: Config, row: Row, end_to_end: int) -> None:
    """Write the config of the recommended row."""
    note_plan(row.cfg, row.step.peak.total)
    if changes_step(args):
        text = row.cfg.pretty_text  # a child that says what was changed would be as long
    else:
        text = inheriting_config(base, args.config, row.cfg, args.out)
    write_whole(args.out, plan_comment(row.cfg, this_call(), end_to_end, args.cap) + text)


def changes_step(args: Namespace) -> bool:
    return bool(args.crop or args.amp or args.batch_size or args.cfg_options)


def commands(args: Namespace, base: Config, row: Row) -> list[str]:
    """Return the command lines that train as a row says."""
    train, processes = call_of('train'), []
    if row.num_modules > 1 and row.cfg.model.local.get('placement') == 'pipeline':
        train, processes = ['tools/dist_train.sh'], [str(row.num_modules)]
    is_plain = row.way in PLAIN and 'local' not in base.model and not changes_step(args)
    if args.out:
        return [shlex.join([*train, str(args.out), *processes])]
    if is_plain:
        return [shlex.join([*train, args.config, *row.way.arguments({})])]
    out = f'{Path(args.config).stem}_fit.py'
    write_it = [*this_call(), '-o', out]
    return [shlex.join(write_it), shlex.join([*train, out, *processes])]


@command
def main(args: Namespace) -> None:
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
