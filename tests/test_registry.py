"""What an ``mmseg_infopro::`` base brings is looked up in mmseg's registries, then mmengine's."""

import pytest
from mmengine import registry as mmengine_registry
from mmseg import registry as mmseg_registry

from mmseg_infopro.registry import SCOPED


@pytest.mark.parametrize(
    ('registry', 'name'),
    [
        ('MODELS', 'FCNHead'),
        ('HOOKS', 'SegVisualizationHook'),
        ('HOOKS', 'CheckpointHook'),
        ('TRANSFORMS', 'PackSegInputs'),
        ('TRANSFORMS', 'RandomFlip'),
        ('METRICS', 'IoUMetric'),
        ('OPTIMIZERS', 'SGD'),
    ],
)
def test_the_scope_finds_what_mmseg_finds(registry: str, name: str) -> None:
    assert SCOPED[registry].get(name) is getattr(mmseg_registry, registry).get(name)


def test_every_registry_of_mmseg_has_the_scope() -> None:
    assert sorted(SCOPED) == sorted(mmseg_registry.__all__)


def test_a_marked_dict_is_built_from_the_root_registry() -> None:
    transform = dict(type='PackSegInputs', _scope_='mmseg_infopro')
    built = mmengine_registry.TRANSFORMS.build(transform)
    assert type(built) is mmseg_registry.TRANSFORMS.get('PackSegInputs')
