"""The time of a pipeline's processes: the predicted share of each, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from mmengine.config import Config

from ..config.speeds import device_at_hand
from ..config.step import dry_config_steps, step_shape
from ..hooks.stage_clock import COMPUTE, LOAD, SEND, WAIT, Seconds
from ..measure.work import WorkCounter
from .figures import blank_figure
from .pipeline.measuring import one_thread

COLOURS = {COMPUTE: 'C0', SEND: 'C1', WAIT: '0.8', LOAD: 'C4'}
WORDS = {
    COMPUTE: 'computes',
    SEND: 'waits for the next process',
    WAIT: 'waits for the process before',
    LOAD: 'waits for its data',
}


def predicted_shares(cfg: Config) -> list[float]:
    """Return which share of the time of all modules each one takes.

    From the FLOPs and bytes of dry steps, at the speeds of the device at hand; of a CPU, those of
    one thread.

    Args:
        cfg: Resolved, a pipeline's.
    """
    counters = [WorkCounter() for _ in range(len(cfg.model.local.boundaries) + 1)]
    dry_config_steps(cfg, *counters)
    with one_thread():
        device = device_at_hand(step_shape(cfg).autocast)
    return shares_of([device.seconds(each.forward + each.backward) for each in counters])


def shares_of(seconds: Sequence[float]) -> list[float]:
    """Return the share of each in their sum."""
    return [value / sum(seconds) for value in seconds]


def share_rows(predicted: Sequence[float], times: Mapping[str, Any] | None) -> list[list[str]]:
    """Return a table: its header, and a row for each process.

    Args:
        predicted: Shares, of :func:`predicted_shares`.
        times: Of :class:`~.run_files.RunFiles`.
    """
    header = ['process', 'share of the time, predicted']
    rows = [[str(number), f'{share:.1%}'] for number, share in enumerate(predicted)]
    if times is None:
        return [header, *rows]
    first, last = times['iterations']
    measured: list[Seconds] = times['processes']
    shares = shares_of([seconds[COMPUTE] for seconds in measured])
    for row, seconds, share in zip(rows, measured, shares, strict=True):
        row.append(f'{share:.1%}')
        row += [f'{1000 * seconds[kind] / (last - first):.1f} ms' for kind in WORDS]
    return [[*header, 'measured', *(f'{word}, a step' for word in WORDS.values())], *rows]


def time_figure(predicted: Sequence[float], times: Mapping[str, Any] | None) -> Figure:
    """Draw what each process does with its time, and the predicted shares of what they compute.

    Args:
        predicted: As for :func:`share_rows`.
        times: As there; without them there are the predicted shares alone.
    """
    count = len(predicted)
    figure, axes = blank_figure(9, 1.1 + 0.45 * count)
    names = [f'process {number}' for number in range(count)]
    if times is None:
        axes.barh(names, predicted, height=0.6, color=COLOURS[COMPUTE])
        axes.set(xlabel='predicted share of the time of all', xlim=(0, 1))
    else:
        measured: list[Seconds] = times['processes']
        computing = sum(seconds[COMPUTE] for seconds in measured)
        longest = max(sum(seconds.values()) for seconds in measured)
        left = [0.0] * count
        for kind, colour in COLOURS.items():
            widths = [seconds[kind] / longest for seconds in measured]
            axes.barh(names, widths, left=left, height=0.6, color=colour, label=WORDS[kind])
            left = [sum(pair) for pair in zip(left, widths, strict=True)]
        for number, share in enumerate(predicted):
            at = share * computing / longest
            label = 'predicted end of computing' if number == 0 else None
            axes.plot([at, at], [number - 0.4, number + 0.4], 'k--', linewidth=1.2, label=label)
        axes.set(xlabel='share of the time between two logs', xlim=(0, 1.02))
        figure.legend(loc='outside lower center', ncols=3, frameon=False, fontsize=8)
    axes.invert_yaxis()
    return figure
