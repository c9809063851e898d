"""The page of all methods, from their descriptions, costs and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config.methods import METHODS
from .method_costs import Costs

INTRODUCTION = """# Methods

`--method NAME` on every command, or `localize(cfg, num_modules=4, method='man')`, gives any config
one of these; `configs/camvid/` and `configs/cityscapes/` have them written out. A package of your
own may add to `mmseg_infopro.config.methods.METHODS`. [combinations.md](combinations.md) says what
each works with. In the formulas `h` is what module k ends with, `x` the image, `y` the labels and
`sg` what is detached; every local method trains its last module by the decode head.

In the pictures a row is a pass of a step, with one backward pass over what the bracket spans: boxes
are modules, a dashed line is a border that no gradient passes. Above a module stand the local heads
whose losses count in the pass, below it what a context adds; a pale module runs without a graph.
"""


def methods_page(costs: Costs, pictures: str) -> str:
    """Return the page as Markdown.

    Args:
        costs: See :data:`~.method_costs.Costs`.
        pictures: The folder of the pictures, relative to the page.
    """
    counts = sorted({int(count) for own in costs['methods'].values() for count in own})
    peak, flops = f'{costs["peak"] / 2**30:.2f} GiB', f'{costs["flops"] / 1e12:.2f} TFLOP'
    lines = [INTRODUCTION, '## Costs', '']
    lines += [
        f'Peak of a training step as a share of that of end-to-end training, {peak}, and its',
        f'FLOPs beyond {flops}, on `{costs["config"]}`,',
        'by dry steps; where a method has several kinds of step, the largest peak and both',
        'extremes of FLOPs. Boundaries are planned for each method. `python tools/methods.py',
        '--costs CONFIG --num-modules 4 8 --json docs/methods.json` measures them; no GPU has.',
        '',
        f'| method | | {" | ".join(f"K={k} peak | K={k} FLOPs" for k in counts)} |',
        f'|---|---|{"---|---|" * len(counts)}',
    ]
    for name, method in METHODS.items():
        cells = ' | '.join(_cells(costs['methods'].get(name, {}).get(str(k))) for k in counts)
        if name != 'e2e':
            lines.append(f'| [{name}](#{name}) | {method.summary} | {cells} |')
    for name, method in METHODS.items():
        lines += ['', f'## {name}', f'{_sentence(method.summary)}', '']
        lines += [f'![passes of {name}]({pictures}/{name}.png)', '']
        lines += [f'- Loss: `{method.formula}`', f'- Source: {method.source}']
        lines += [f'- When: {method.when}.']
        lines += _kinds(costs['methods'].get(name, {}))
    return '\n'.join(lines) + '\n'


def _sentence(text: str) -> str:
    return f'{text[0].upper()}{text[1:]}.'


def _cells(steps: list[Mapping[str, Any]] | None) -> str:
    if not steps:
        return '| '
    if 'refused' in steps[0]:
        return 'refused | '
    peak = max(step['peak'] for step in steps)
    flops = sorted({step['flops'] - 1 for step in steps})
    ends = [f'{flops[0]:+.1%}'] + ([f'{flops[-1]:+.1%}'] if len(flops) > 1 else [])
    return f'{peak:.1%} | {" to ".join(ends)}'


def _kinds(own: Mapping[str, list[Mapping[str, Any]]]) -> list[str]:
    """Return a line for each K with several kinds of step."""
    lines = []
    for count, steps in own.items():
        if 'refused' in steps[0]:
            lines.append(f'- K={count} is refused: {steps[0]["refused"]}')
        elif len(steps) > 1:
            parts = [f'{s["kind"]} {s["peak"]:.1%} and {s["flops"] - 1:+.1%} FLOPs' for s in steps]
            lines.append(f'- K={count}: {"; ".join(parts)}.')
    return lines
