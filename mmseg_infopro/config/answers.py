"""Where the peak of a step is, and what would lower it: sentences, each figure a dry step's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mmengine.config import Config

from ..backbones import boundary_names
from ..measure.peaks import DryStep
from ..measure.sizes import format_bytes
from ..measure.undrawn import undrawn_weights
from .build import build_end_to_end
from .localize import localize
from .recipes import RECIPES, recipe_of
from .resolve import resolve
from .step import dry_config_step

WORTHWHILE = 0.98
"""What lowers a peak leaves at most this share of it."""
MOST_MODULES = 8


@dataclass(frozen=True)
class Remedy:
    """What lowers a peak.

    Attributes:
        words: What to say on a command line.
        step: The dry step with it.
    """

    words: str
    step: DryStep


def place_of_peak(step: DryStep) -> str:
    """Return where in a step its peak is."""
    if step.peaks_in_update:
        return "the optimizer's step"
    peaks = step.module_peaks()
    if len(peaks) < 2:
        return 'the one module'
    index = max(peaks, key=peaks.__getitem__)
    if index == max(peaks):
        return f'local module {index}, the last one, with the decode head'
    return f'local module {index} of 0 to {max(peaks)}'


def peak_and_saving(step: DryStep, end_to_end: DryStep) -> str:
    """Return a line for the start of a run: what it will need, and what it saves."""
    peak, whole = step.peak.total, end_to_end.peak.total
    extra = step.flops / end_to_end.flops - 1 if end_to_end.flops else 0.0
    return (
        f'predicted peak of a step: {format_bytes(peak)} of tensors, {peak / whole:.1%} of the '
        f'{format_bytes(whole)} of end-to-end training, {extra:+.1%} FLOPs; it is in '
        f'{place_of_peak(step)}'
    )


def what_lowers_it(cfg: Config, step: DryStep) -> str:
    """Return a sentence on where a step's peak is, and what would lower it.

    Args:
        cfg: Resolved, with local modules.
        step: Its dry step.
    """
    size, place = format_bytes(step.peak.total), place_of_peak(step)
    cuts_help = not step.peaks_in_update and cuts_lower_it(cfg, step)
    found = list(remedies(cfg, step, cuts_help))
    if not cuts_help and not step.peaks_in_update:
        place = 'the decode head, with the last unit'
    text = f'the peak ({size}) is in {place}'
    if not any(remedy.words.startswith('--num-modules') for remedy in found):
        text += ': more modules would not help'
    gains = [f'{remedy.words} gives {format_bytes(remedy.step.peak.total)}' for remedy in found]
    return f'{text}; {", ".join(gains) or "no recipe lowers it"}'


def remedies(cfg: Config, step: DryStep, cuts_help: bool) -> Iterator[Remedy]:
    """Yield what lowers a step's peak: a recipe, and more local modules.

    Args:
        cfg: Resolved, with local modules.
        step: Its dry step.
        cuts_help: Whether more modules may do so.
    """
    enough = WORTHWHILE * step.peak.total
    count = len(cfg.model.local.boundaries) + 1
    for word in stronger(recipe_of(cfg)):
        trial = dry_config_step(resolve(localize(cfg, count, recipe=word)))
        if trial.peak.total <= enough:
            yield Remedy(f'--recipe {word}', trial)
            break
    if cuts_help and count < MOST_MODULES:
        with undrawn_weights():
            most = len(boundary_names(build_end_to_end(cfg).backbone)) + 1
        more = min(2 * count, most)
        if more > count:
            trial = dry_config_step(resolve(localize(cfg, more)))
            if trial.peak.total <= enough:
                yield Remedy(f'--num-modules {more}', trial)


def stronger(recipe: str) -> list[str]:
    """Return the recipes to try after one: the last two, of which the first spends no FLOPs."""
    words = list(RECIPES)
    return words[max(words.index(recipe) + 1, len(words) - 2) :]


def cuts_lower_it(cfg: Config, step: DryStep) -> bool:
    """Whether the peak is lower if the last module is as short as it can be."""
    peaks = step.module_peaks()
    if peaks and max(peaks, key=peaks.__getitem__) != max(peaks):
        return True
    with undrawn_weights():
        names = boundary_names(build_end_to_end(cfg).backbone)
    own = list(cfg.model.local.boundaries)
    if own and names.index(own[-1]) == len(names) - 1:
        return False
    recompute = cfg.model.local.get('recompute', 'none')
    trial = localize(cfg, boundaries=[*own, names[-1]])
    if not isinstance(recompute, str):
        trial.model.local.recompute = 'cheap'
    finest = dry_config_step(trial)
    return finest.peak.total <= WORTHWHILE * step.peak.total
