"""Where command lines place local modules."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import pytest
from mmengine.config import Config

from mmseg_infopro.config.helpful import with_helpful_modules
from mmseg_infopro.config.placement import apply_placement, place_by_arguments

NOTHING = dict(modules=None, placement=None, num_modules=None, boundaries=None, memory_cap=None)


def placed(**given: Any) -> Namespace:
    args = Namespace(**{**NOTHING, **given})
    place_by_arguments(args)
    return args


def test_modules_are_a_partition_and_a_placement() -> None:
    args = placed(modules=4)
    assert (args.num_modules, args.placement) == (4, 'pipeline')
    assert placed(modules=4, placement='pipeline').num_modules == 4
    assert vars(placed(num_modules=3)) == {**NOTHING, 'num_modules': 3}


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (dict(num_modules=2), '--modules 4 and --num-modules 2 are two partitions'),
        (dict(boundaries=['a']), '--modules 4 and --boundaries'),
        (dict(memory_cap='1GiB'), '--modules 4 and --memory-cap 1GiB'),
        (dict(placement='replicate'), '--placement replicate is none: say --num-modules 4'),
    ],
)
def test_two_wishes_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        placed(modules=4, **given)


def test_a_placement_is_written_into_the_config() -> None:
    cfg = Config(dict(model=dict(local=dict(num_modules=2, placement='pipeline'))))
    apply_placement(cfg, placed())
    assert cfg.model.local.placement == 'pipeline'
    apply_placement(cfg, placed(placement='replicate'))
    assert cfg.model.local.placement == 'replicate'
    with pytest.raises(ValueError, match='the config has none: add --num-modules'):
        apply_placement(Config(dict(model=dict())), placed(placement='pipeline'))


def test_the_modules_of_a_pipeline_stay_as_many() -> None:
    cfg = Config(dict(model=dict(local=dict(num_modules=4, placement='pipeline'))))
    assert with_helpful_modules(cfg) is cfg  # nothing is measured
