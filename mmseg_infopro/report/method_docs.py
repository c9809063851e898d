"""The pages of the methods, from their descriptions, costs and pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from ..config.methods import METHODS, use_method
from .method_costs import Costs

LINK = re.compile(r'https?://[^\s;,]+')
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
PAGES = 'methods'
"""The folder of the methods' own pages, beside the page of all."""


def methods_page(costs: Costs) -> str:
    """Return the page of all methods as Markdown: how to read it, costs, links to each.

    Args:
        costs: See :data:`~.method_costs.Costs`.
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
        lines.append(f'| [{name}]({PAGES}/{name}.md) | {method.summary} | {cells} |')
    return '\n'.join(lines) + '\n'


def method_page(name: str, costs: Costs, pictures: str) -> str:
    """Return the page of one method as Markdown: picture, formula, source, costs and settings.

    Args:
        name: Of the method.
        costs: See :data:`~.method_costs.Costs`.
        pictures: The folder of the pictures, relative to the page.
    """
    method = METHODS[name]
    lines = [f'# {name}', _sentence(method.summary), '']
    lines += [f'![passes of {name}]({pictures}/{name}.png)', '']
    lines += [f'- Loss: `{method.formula}`', f'- Source: {LINK.sub(_as_link, method.source)}']
    lines += [f'- When: {method.when}.']
    lines += [
        f'- K={count}: {line}' for count, line in _costs_by_count(costs['methods'].get(name, {}))
    ]
    lines += ['', 'What the marks and letters mean is on [the page of all methods](../methods.md).']
    lines += ['', '## Settings', f'`--method {name}`']
    if name != 'e2e':
        lines[-1] += ', or in a config:'
        lines += ['', '```python', _settings(name), '```']
    return '\n'.join(lines) + '\n'


def _settings(name: str) -> str:
    """Return what a method sets of ``model.local``, as Python."""
    cfg = Config(dict(model=dict(local=dict())))
    use_method(cfg, name)
    return cfg.pretty_text.strip()


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


def _costs_by_count(own: Mapping[str, list[Mapping[str, Any]]]) -> list[tuple[str, str]]:
    """Return for each K what its kinds of step cost."""
    lines = []
    for count, steps in own.items():
        if 'refused' in steps[0]:
            lines.append((count, f'refused: {steps[0]["refused"]}'))
            continue
        parts = [
            f'{s["kind"] + " " if len(steps) > 1 else ""}{s["peak"]:.1%} of the peak and '
            f'{s["flops"] - 1:+.1%} FLOPs'
            for s in steps
        ]
        lines.append((count, f'{"; ".join(parts)} of end-to-end training.'))
    return lines


def _as_link(address: re.Match[str]) -> str:
    return f'<{address[0]}>'
