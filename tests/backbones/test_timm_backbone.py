"""Networks of timm under contract."""

import pytest
from mmseg.registry import MODELS

from tests.backbones.contract import BackboneContract

TINY = dict(type='InfoProTIMMBackbone', model_name='test_resnet', pretrained=False)


@pytest.fixture(autouse=True)
def timm():
    return pytest.importorskip('timm', reason='networks of timm need it and torchvision')


class TestTIMMBackbone(BackboneContract):
    backbone = TINY
    variants = (
        dict(out_indices=(1, 3)),
        dict(model_name='test_byobnet'),
        dict(model_name='test_convnext', drop_path_rate=0.3),
        dict(model_name='test_efficientnet', feature_cfg=dict(flatten_sequential=True)),
        dict(model_name='selecsls42'),
    )


def test_units_are_named_as_the_layers_are():
    names = [unit.name for unit in MODELS.build(TINY).units()]
    assert names == [
        *(f'timm_model.conv1.{layer}' for layer in (0, 1, 3, 4, 6)),
        'timm_model.bn1',
        'timm_model.maxpool',
        *(f'timm_model.layer{stage}.0' for stage in (1, 2, 3, 4)),
    ]


def test_the_last_unit_is_that_of_the_last_feature():
    backbone = MODELS.build({**TINY, 'out_indices': (1,)})
    assert backbone.units()[-1].name == 'timm_model.layer1.0'


def test_the_config_is_not_written_to():
    cfg = dict(TINY, model_name='test_efficientnet', feature_cfg=dict(flatten_sequential=True))
    MODELS.build(cfg)
    assert cfg['feature_cfg'] == dict(flatten_sequential=True)


@pytest.mark.parametrize(
    ('model_name', 'features'),
    [('test_efficientnet', 'EfficientNetFeatures'), ('test_vit', 'FeatureGetterNet')],
)
def test_features_that_are_not_read_between_layers_are_refused(model_name, features):
    with pytest.raises(TypeError, match=f"'{model_name}' cannot be cut .* from a {features}"):
        MODELS.build({**TINY, 'model_name': model_name})


def test_a_classifier_is_refused():
    with pytest.raises(TypeError, match='from a ResNet, not from a FeatureListNet'):
        MODELS.build({**TINY, 'features_only': False})


def test_feature_maps_with_channels_behind_are_refused():
    with pytest.raises(ValueError, match=r"'test_mambaout' cannot be cut .* laid out as NHWC"):
        MODELS.build({**TINY, 'model_name': 'test_mambaout'})
