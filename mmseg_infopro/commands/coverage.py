"""Try every config that mmseg ships: does it train in local modules?"""

from __future__ import annotations

import json
import logging
import multiprocessing
import warnings
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch
from mmengine.registry import init_default_scope
from rich.console import Console
from rich.table import Table

from infopro.naming import new_process

from ..config.places import named
from ..files.outputs import check_distinct, check_output
from ..files.whole import write_whole
from ..measure.sizes import check_cap
from ..report.answer_times import answer_times
from ..report.coverage import (
    STEPS,
    WORKS,
    Coverage,
    cover,
    installed_configs,
    signature,
)
from .ending import command
from .outputs import JSON
from .progress import progress_bar

COLUMNS = ('family', 'configs', 'plain steps')


def show_times(configs: Iterable[str], cap: str) -> None:
    """Print the seconds that the first config of each family takes."""
    first = {name.partition('/')[0]: f'mmseg::{name}' for name in sorted(configs, reverse=True)}
    print('resolve, resolve again, fit, fit again: seconds of one core')
    for family, name in sorted(first.items()):
        try:
            (times,) = answer_times([name], cap, new_process('fit'))
        except ValueError as error:
            print(f'{family}: {error}')
            continue
        seconds = ' '.join(f'{value:7.1f}' for value in (*times.resolve, *times.fit))
        print(f'{seconds}  {name}', flush=True)


def quiet() -> None:
    """Silence what upstream says while it builds hundreds of models."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    warnings.simplefilter('ignore')
    init_default_scope('mmseg')


def cover_all(configs: dict[str, Path], num_modules: Sequence[int], jobs: int) -> list[Coverage]:
    alike: dict[str, list[str]] = defaultdict(list)
    for name, file in configs.items():
        try:
            alike[signature(file)].append(name)
        except Exception:  # it cannot be read, which its own row will say
            alike[name].append(name)
    results: list[Coverage] = []
    tasks = [(names[0], configs[names[0]]) for names in alike.values()]
    spawn = multiprocessing.get_context('spawn')
    with (
        spawn.Pool(jobs, quiet, maxtasksperchild=20) as pool,
        progress_bar('models', len(tasks)) as advance,
    ):
        outcomes = pool.imap(partial(_cover, num_modules=num_modules), tasks)
        for outcome, names in zip(outcomes, alike.values(), strict=True):
            results += [replace(outcome, config=name) for name in names]
            advance()
    return sorted(results, key=lambda result: result.config)


def _cover(task: tuple[str, Path], num_modules: Sequence[int]) -> Coverage:
    return cover(*task, num_modules)


def rows(results: Iterable[Coverage], num_modules: Sequence[int]) -> list[list[str]]:
    """Count the results by family; the last row is their sum."""
    families: dict[str, list[Coverage]] = defaultdict(list)
    for result in results:
        families[result.family].append(result)
        families['all'].append(result)
    families['all'] = families.pop('all')
    table = []
    for family, members in families.items():
        steps = [member for member in members if member.plain == STEPS]
        works = [str(sum(m.local.get(k) == WORKS for m in steps)) for k in num_modules]
        outcomes = [outcome for m in members for outcome in set(m.local.values())]
        refused = sum(outcome.startswith('refused') for outcome in outcomes)
        fails = sum(outcome.startswith('fails') for outcome in outcomes)
        table.append([family, str(len(members)), str(len(steps)), *works, str(refused), str(fails)])
    return table


def reasons(results: Iterable[Coverage]) -> dict[str, list[str]]:
    """Return everything but success, with the configs that it is about."""
    found: dict[str, list[str]] = defaultdict(list)
    for result in results:
        if result.plain != STEPS:
            found[f'plain: {result.plain}'].append(result.config)
        for num_modules, outcome in result.local.items():
            if outcome.startswith(('refused', 'fails')):
                found[f'K={num_modules} {outcome}'].append(result.config)
    return found


def markdown(table: list[list[str]], header: Sequence[str], why: dict[str, list[str]]) -> str:
    lines = [header, ['---'] * len(header), *table]
    text = '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)
    notes = '\n'.join(
        f'- {reason} ({len(names)}: {", ".join(sorted({n.split("/")[0] for n in names}))})'
        for reason, names in sorted(why.items())
    )
    return f'{text}\n\n{notes}\n'


@command
def main(args: Namespace) -> None:
    check_output('--json', args.json, JSON)
    check_output('--markdown', args.markdown, ('.md',))
    check_distinct(json=args.json, markdown=args.markdown)
    for option, least in (('jobs', args.jobs), ('num_modules', min(args.num_modules))):
        if least < 1:
            raise ValueError(f'--{option.replace("_", "-")} must be at least 1, got {least}')
    with named('--cap'):
        check_cap(args.cap)
    quiet()
    configs = installed_configs()
    families = {name.partition('/')[0] for name in configs}
    unknown = sorted(set(args.families or ()) - families)
    if unknown:
        raise ValueError(f'--families {unknown[0]} is none of {", ".join(sorted(families))}')
    if args.families:
        configs = {n: f for n, f in configs.items() if n.partition('/')[0] in args.families}
    if args.time:
        return show_times(configs, args.cap)
    results = cover_all(configs, args.num_modules, args.jobs)
    table, why = rows(results, args.num_modules), reasons(results)
    header = [*COLUMNS, *(f'K={k} works' for k in args.num_modules), 'refused', 'fails']
    console, view = Console(), Table(*header, title='configs of mmseg in local modules')
    for cells in table:
        view.add_row(*cells)
    console.print(view)
    for reason, names in sorted(why.items()):
        console.print(f'{reason}: {len(names)}, as {names[0]}', highlight=False)
    if args.json:
        write_whole(args.json, json.dumps([asdict(r) for r in results], indent=1) + '\n')
    if args.markdown:
        write_whole(args.markdown, markdown(table, header, why))
