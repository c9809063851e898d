"""What a user would find under a cap by trying recipes and numbers of modules, as `memory` does."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from mmseg_infopro import localize, resolve
from mmseg_infopro.config.edit import override_step
from mmseg_infopro.config.read import read_config
from mmseg_infopro.config.recipes import RECIPES
from mmseg_infopro.config.step import dry_config_step
from mmseg_infopro.files.cache import VARIABLE
from mmseg_infopro.report import fitting
from mmseg_infopro.report.baselines import end_to_end_forms

CLEARLY, EQUAL = 0.05, 0.005
"""Shares of the FLOPs of an end-to-end step: the rule's, written out once more."""


@dataclass(frozen=True)
class Found:
    """One way to train, by its dry step."""

    name: str
    num_modules: int
    peak: int
    flops: int


def ways_by_hand(cfg: Config, counts: Sequence[int]) -> Iterator[Found]:
    """Yield end-to-end training first, then each recipe with each number of modules."""
    for way, form in end_to_end_forms(cfg).items():
        step = dry_config_step(form)
        yield Found(way.word, 1, step.peak.total, step.flops)
    for count in counts:
        for word in (word for word in RECIPES if word != 'plain'):  # free costs as much or less
            step = dry_config_step(resolve(localize(cfg, count, recipe=word)))
            yield Found(f'K={count} {word}', count, step.peak.total, step.flops)


def without_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the largest batch and crop out, which no recommendation depends on."""
    monkeypatch.setattr(fitting, 'largest_within', lambda *args: 0)
    monkeypatch.setattr(fitting.Fitter, '_largest', lambda *args: 0)


def check_answer(
    rows: Sequence[dict[str, Any]], hand: Sequence[Found], cap: int, written: Path
) -> str:
    """Check what `fit` recommends against all that was found by hand; say what it was.

    Args:
        rows: Its JSON.
        hand: The first is end-to-end training.
        cap: Bytes for tensors.
        written: Its ``-o``, if it recommended anything.
    """
    whole = hand[0].flops
    fit = [way for way in hand if way.peak <= min(cap, hand[0].peak)]
    (chosen,) = [row for row in rows if row['recommended']] or [None]
    if chosen is None:
        assert not fit, f'fit found nothing, and by hand {fit}'
        return 'nothing fits'
    is_exact, flops = not chosen['boundaries'], chosen['flops']
    for way in fit:
        said = f'{way} against {chosen["name"]} with {chosen["peak"]} bytes and {flops} FLOPs'
        if is_exact == (way.num_modules == 1):
            assert flops <= way.flops + EQUAL * whole, said
        elif is_exact:  # local modules are taken where they are clearly cheaper, and only there
            assert flops <= way.flops + (CLEARLY + EQUAL) * whole, said
        else:
            assert flops + (CLEARLY - EQUAL) * whole <= way.flops, said
    step = dry_config_step(read_config(str(written)))
    assert step.peak.total == chosen['peak'] <= min(cap, hand[0].peak)
    assert step.flops == chosen['flops']
    return (
        f'{chosen["name"]}: {chosen["peak"] / cap:.1%} of the cap, {flops / whole - 1:+.1%} FLOPs'
    )


def check_network(
    monkeypatch: pytest.MonkeyPatch,
    run: Any,
    folder: Path,
    config: str,
    step: tuple[int, tuple[int, int]] | None,
    caps: Sequence[str],
    counts: Sequence[int],
    options: Sequence[object] = (),
) -> list[str]:
    """Check `fit`'s answers for a network under some caps; return them.

    Args:
        run: Runs a tool as a user does.
        folder: For files.
        config: Of the network.
        step: Batch and crop; the config's own if not given.
        caps: Shares of the peak of end-to-end training.
        counts: Numbers of modules to try by hand.
        options: Of `fit`.
    """
    without_searches(monkeypatch)
    monkeypatch.setenv(VARIABLE, str(folder / 'cache'))
    cfg = read_config(config)
    if step is not None:
        override_step(cfg, *step)
        options = ['--batch-size', step[0], '--crop', *step[1], *options]
    hand = list(ways_by_hand(cfg, counts))
    said = []
    for cap in caps:
        figures, written = folder / f'{cap}.json', folder / f'{cap.removesuffix("%")}.py'
        outcome = run(
            'fit', config, '--cap', cap, '--margin', 0,
            '--json', figures, '-o', written, *options,
        )  # fmt: skip
        rows = json.loads(figures.read_text())
        assert outcome.status == (0 if any(row['recommended'] for row in rows) else 2), outcome.err
        tensors = int(float(cap.removesuffix('%')) / 100 * hand[0].peak)
        with monkeypatch.context() as context:
            context.setenv(VARIABLE, 'off')  # the check measures anew
            said.append(f'{cap}: {check_answer(rows, hand, tensors, written)}')
    return said
