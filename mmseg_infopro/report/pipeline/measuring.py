"""A race of a config's local modules against the other ways to use as many processes."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from mmengine.config import Config
from rich.box import SIMPLE_HEAD
from rich.table import Table

from ...config.caps import plain_end_to_end
from ...config.localize import localize
from ...config.resolve import resolve
from ...config.step import dry_config_step, dry_config_steps
from ...local.processes import BUCKET_CAP_MB
from ...measure.sizes import table_unit
from .race import RaceRow, Turns, measured_link, measured_stages
from .trace import shares_of

APART, PIPELINE = 'side by side', 'pipeline'


def racing_configs(cfg: Config, num_modules: int, in_flight: int) -> tuple[Config, Config]:
    """Return the resolved configs of a pipeline, and of end-to-end training.

    Args:
        cfg: Any config of mmseg.
        num_modules: K, of as many processes; the config's own boundaries, if it has so many.
        in_flight: ``local.in_flight``.
    """
    own = (cfg.model.get('local') or {}).get('boundaries')
    is_cut = own is not None and len(own) + 1 == num_modules
    local = localize(cfg, boundaries=own) if is_cut else localize(cfg, num_modules)
    local.model.local.update(placement=PIPELINE, in_flight=in_flight, staleness=0, reuse=None)
    if local.model.local.get('recompute') == 'auto':
        local.model.local.recompute = 'cheap'
    plain = plain_end_to_end(cfg)
    for key in ('placement', 'staleness', 'reuse'):
        plain.model.local.pop(key, None)
    return resolve(local), resolve(plain)


def predicted_bytes(local: Config, plain: Config) -> dict[str, list[int]]:
    """Return what dry steps say of each process, by the way."""
    together = deepcopy(local)
    together.model.local.placement = 'replicate'
    stages = [step.peak.total for step in dry_config_steps(local)]
    end_to_end = dry_config_step(plain).peak.total
    return {
        PIPELINE: stages,
        'one process': [dry_config_step(together).peak.total],
        'e2e, one process': [end_to_end],
        'e2e, data parallel': [end_to_end + BUCKET_CAP_MB * 2**20] * len(stages),
    }


def race_table(rows: Sequence[RaceRow], predicted: dict[str, list[int]]) -> Table:
    """Return the figures of all ways; speeds are relative to one process with all modules."""
    alone = next(row for row in rows if row.way == 'one process')
    unit, size = table_unit(max(max(values) for values in predicted.values()))
    table = Table(title='Measured on this machine', box=SIMPLE_HEAD, collapse_padding=True)
    headers = ['', 'images\n/ s', '/ one\nprocess', 'in rounds', f'grown\n{unit}']
    headers += [f'planned\n{unit}', 'simu-\nlated']
    for header in headers:
        table.add_column(header, justify='right' if header else 'left', no_wrap=True)
    for row in rows:
        table.add_row(
            row.way,
            f'{row.images_per_second:.2f}',
            f'{row.images_per_second / alone.images_per_second:.2f}',
            f'{min(row.rounds):.2f} to {max(row.rounds):.2f}',
            ', '.join('-' if grown is None else f'{grown / size:.0f}' for grown in row.grown_bytes),
            ', '.join(f'{value / size:.0f}' for value in predicted.get(row.way, [])),
            '' if row.simulated is None else f'{row.simulated:.2f}',
        )
    return table


def race_lines(rows: Sequence[RaceRow], turns: Turns, local: Config) -> list[str]:
    """Return what to know beside the table."""
    by_way = {row.way: row for row in rows}
    apart = by_way[PIPELINE].images_per_second / by_way[APART].images_per_second
    stages, link = measured_stages(turns), measured_link(turns)
    total = sum(stage.seconds for stage in stages)
    did = [
        f'process {rank}: ' + ', '.join(f'{kind} {share:.1%}' for kind, share in shares.items())
        for rank, shares in enumerate(map(shares_of, turns[PIPELINE][-1]))
    ]
    return [
        f'pipeline / side by side: {apart:.3f}',
        f'boundaries={list(local.model.local.boundaries)}',
        'measured shares of the time, side by side: '
        + ', '.join(f'{stage.seconds / total:.1%}' for stage in stages),
        f'link: {link.bytes_per_second / 1e9:.2f} GB/s; borders of '
        + ', '.join(f'{stage.border_bytes / 2**20:.2f} MiB' for stage in stages[:-1]),
        *did,
        'side by side: the slowest of the modules, each on a process without the others; grown: '
        'resident memory of a process, or bytes of tensors on a GPU, in the turn with least',
    ]
