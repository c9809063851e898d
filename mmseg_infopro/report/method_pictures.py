"""A picture of each method's step, drawn from its schedule, heads and context themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config.methods import Method
from ..local.infopro_heads import default_heads
from ..local.schedule import Pass
from ..local.schedules import build_schedule
from .figures import blank_figure, save_figure

NUM_MODULES = 3
MAX_ITERS = 9
"""Of the run that shares of a schedule are of."""
WIDTH, HEIGHT, GAP = 1.6, 0.5, 0.9
COLOURS = {'module': '#dbe7f5', 'tail': '#c9dcc6', 'pale': '#f3f3f3', 'head': '#fbe3c0'}
SHORT = {
    'FCNHead': 'task',
    'FeatureReconstructionHead': 'features',
    'FittedReconstructionHead': 'image',
    'FittedTaskHead': 'task',
    'GrownHead': 'grown units',
    'LinearHead': 'linear',
    'MLPHead': 'mlp',
    'PixelContrastHead': 'contrast',
    'ReconstructionHead': 'image',
    'ResidualPenalty': 'residuals',
    'SimilarityHead': 'similarity',
}


def steps_of(method: Method, is_cut: bool = True) -> dict[str, Sequence[Pass]]:
    """Return the passes of each kind of step of a method, for :data:`NUM_MODULES`."""
    cfg: dict[str, Any] = dict(method.schedule or dict(type='Local'))
    if cfg['type'] == 'Sequential':
        cfg['max_iters'] = MAX_ITERS
    count = NUM_MODULES if is_cut else 1
    schedule = build_schedule(cfg, [str(index) for index in range(count - 1)])
    return {kind: schedule(iteration, count) for kind, iteration in schedule.phases(count).items()}


def draw_method(name: str, method: Method, file: Path) -> None:
    """Draw the passes of a method's steps, one row for each.

    Args:
        name: Of the method.
        method: The method.
        file: To write, ``.png`` or ``.svg``.
    """
    is_cut = name != 'e2e'
    steps = steps_of(method, is_cut)
    heads = [_short(head) for head in (method.heads or default_heads())] if is_cut else []
    rows = [(kind, run) for kind, passes in steps.items() for run in passes]
    row_height = 1.5 + (0.35 if method.context else 0)
    figure, axes = blank_figure(6.6, 0.35 + 0.62 * row_height * len(rows))
    count = NUM_MODULES if is_cut else 1
    for number, (kind, run) in enumerate(rows):
        y = -number * row_height
        if len(steps) > 1 and (not number or rows[number - 1][0] != kind):
            axes.text(-1.5, y + 0.42, f'{kind} step', fontsize=8, ha='right', color='0.3')
        axes.text(-0.35, y, 'image', fontsize=8, ha='right', va='center')
        for module in range(count):
            _draw_module(axes, module, y, run, count, heads, method.context)
        _draw_bracket(axes, run, y)
    left = -2.9 if len(steps) > 1 else -1.2
    axes.set_xlim(left, NUM_MODULES * (WIDTH + GAP) - GAP + 0.4)
    axes.set_ylim(-(len(rows) - 1) * row_height - row_height / 2 - 0.1, 1.05)
    axes.set_axis_off()
    save_figure(figure, file, dpi=90)


def _left(module: int) -> float:
    return module * (WIDTH + GAP)


def _draw_module(
    axes: Any,
    module: int,
    y: float,
    run: Pass,
    count: int,
    heads: Sequence[str],
    context: Mapping[str, Any] | None,
) -> None:
    from matplotlib.patches import FancyBboxPatch

    if module > run.last:
        return
    x, is_tail, is_in = _left(module), module == count - 1, module in run.modules
    colour = COLOURS['tail' if is_tail else 'module'] if is_in and run.trains else COLOURS['pale']
    edge = '0.25' if is_in else '0.75'
    box = FancyBboxPatch((x, y - HEIGHT / 2), WIDTH, HEIGHT, boxstyle='round,pad=0.02',
                         facecolor=colour, edgecolor=edge)  # fmt: skip
    axes.add_patch(box)
    label = 'tail' if is_tail and count > 1 else 'network' if count == 1 else f'module {module}'
    axes.text(x + WIDTH / 2, y, label, fontsize=8, ha='center', va='center', color=edge)
    arrow = dict(arrowstyle='->', color=edge, linewidth=0.9)
    begins = x - GAP + 0.1 if module else -0.3
    axes.annotate('', (x - 0.04, y), (begins, y), arrowprops=arrow)
    if module and not (is_in and module > run.first):
        middle = x - GAP / 2
        axes.plot([middle, middle], [y - 0.42, y + 0.42], '--', color='0.45', linewidth=0.9)
    names = ['decode'] if is_tail else [h for h in heads if run.weight(module, 'head')]
    if is_in and run.trains and run.weight(module, 'head'):
        _draw_heads(axes, x, y, names, run.weight(module, 'head'))
    if context and module and is_in:
        sources = ['image'] * bool(context.get('image')) + ['inputs'] * bool(context.get('history'))
        axes.annotate(
            f'+ {", ".join(sources)}', (x + 0.15, y - HEIGHT / 2), (x + 0.15, y - 0.72),
            fontsize=7, color='#7a4fa3',
            arrowprops=dict(arrowstyle='->', color='#7a4fa3', relpos=(0, 1)),
        )  # fmt: skip


def _draw_heads(axes: Any, x: float, y: float, names: Sequence[str], weight: float) -> None:
    width = WIDTH / max(1, len(names))
    for number, name in enumerate(names):
        text = name if weight == 1 else f'{weight:g} {name}'
        axes.text(
            x + width * (number + 0.5), y + 0.5, text, fontsize=7, ha='center', va='center',
            bbox=dict(boxstyle='round,pad=0.18', facecolor=COLOURS['head'], edgecolor='0.5'),
        )  # fmt: skip


def _draw_bracket(axes: Any, run: Pass, y: float) -> None:
    """Draw what one backward pass spans."""
    if not run.trains:
        return
    left, right, low = _left(run.first), _left(run.last) + WIDTH, y - 0.36
    axes.annotate('', (left, low), (right, low),
                  arrowprops=dict(arrowstyle='->', color='#c0392b', linewidth=1.2))  # fmt: skip


def _short(head: Mapping[str, Any]) -> str:
    """Return what a head is called in the picture."""
    if head['type'] == 'MomentumHead':
        return 'LB + EMA, mlp' if head.get('unit') == 'next' else 's LB + (2-s) EMA, mlp'
    return SHORT.get(str(head['type']), str(head['type']))
