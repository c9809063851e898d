"""The page of the docs on recipes, from what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from ..config.recipe_costs import lever_rows, recipe_costs, recipe_rows, training_rows
from ..config.recipes import DEFAULT, RECIPES
from ..measure.sizes import format_bytes

INTRODUCTION = f"""# Recipes

Two choices make a step smaller, and they do not mix. A *recipe* says what the step keeps and makes
again: every gradient stays what it was. The number of local modules and their heads say *what
trains the network*: that is another training.

`--recipe WORD`, with a lever more `--recipe lean+offload`, is the first one, on `train`,
`localize`, `memory`, `fit` and `benchmark`, and in `localize(cfg, num_modules=2, recipe='lean')`;
`--num-modules`, `--heads` and `--method` are the second. What a config says stays: a config that
has local modules gets a recipe only where one is asked for, and one that is cut for the first time
gets `{DEFAULT}`. So the configs that are shipped here, the paper's among them, compute what they
say; `--recipe lean` makes any of them lean, and `--recipe plain` takes that back. With one module
nothing is taken unasked, so that K=1 is mmseg bit for bit.
"""
EXACTNESS = """
To rounding: sums are taken in another order, so that gradients or updates differ from the plain
ones by what floating-point numbers round; tests hold this in double precision. All losses but
softmax cross-entropies, and heads with a loss of their own, stay as they are. In 8 bits: the same
gradients of the same weights, but the optimizer rounds its averages of them in every step, which is
a close other training. So it is in no recipe: `--recipe lean+8-bit-optimizer` says it, and another
recipe takes it back; an optimizer of 8 bits that a config names itself stays. Its package comes
with `pip install 'mmseg-infopro[eightbit]'`.
"""
LEFT_OUT = """
A lever that a config cannot have is left out: an update per module with gradient clipping or
accumulation, a fused step where torch has none, recomputing under `torch.compile`. On several
processes an update per module waits until the module's gradients are averaged. The fused step and
the looped one matter where the peak is in the optimizer's step: many parameters, small crops.

`infopro benchmark CONFIG --num-modules 2 --levers` has each lever as a row for your own
config, with step times on this machine, beside float16, `channels_last` and `compile`; what cannot
be had here says why. [results.md](results.md#each-lever-on-a-cpu) has two such tables.
"""
YOUR_OWN = """
A lever is one entry of `mmseg_infopro.config.levers.LEVERS`: a package may add its own, and name
it in a recipe of `RECIPES`.
"""
FIGURES = ['peak', 'FLOPs', 'moved']


def recipes_page() -> str:
    """Return the page as Markdown."""
    costs = recipe_costs()
    whole, count = costs['end_to_end'], costs['num_modules']
    levers = (f'- `{word}`: {", ".join(r.levers) or "no lever"}.' for word, r in RECIPES.items())
    lines = [
        INTRODUCTION,
        f'All figures are dry steps of `{costs["config"]}`,',
        f'{costs["step"]}, relative to end-to-end training: a peak of '
        f'{format_bytes(whole["peak"])},',
        f'{whole["flops"] / 1e12:.2f} TFLOP, {format_bytes(whole["traffic"])} moved, which are the '
        'bytes that operations',
        'read and write, each as one kernel. `python tools/recipes.py --measure CONFIG --docs',
        'docs/recipes.md` measures them and writes this page; no GPU has.',
        '',
        f'## What a step keeps, at K={count}',
        *_table(['recipe', '', 'gradients', *FIGURES], recipe_rows()),
        '',
        *levers,
        EXACTNESS,
        f'## Each lever alone, at K={count}',
        *_table(['lever', '', 'gradients', *FIGURES], lever_rows()),
        LEFT_OUT,
        '## What trains the network, by the recipe `plain`',
        *_table(['', *FIGURES], training_rows()),
        YOUR_OWN,
    ]
    return '\n'.join(lines).rstrip() + '\n'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ['---'] * len(header), *rows]
    return [f'| {" | ".join(cells)} |' for cells in lines]
