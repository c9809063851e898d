"""The local form of configs that nobody here wrote."""

import pytest
from mmengine.config import Config
from mmseg.registry import MODELS

from mmseg_infopro import localize, resolve
from mmseg_infopro.segmentors.encoder_decoder import InfoProEncoderDecoder
from tests.models import KeepGradients, batch, build, gradients, model_config

PSPNET = 'mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py'


def plain_config(**model) -> Config:
    return Config(
        dict(
            model={**model_config(), **model},
            train_dataloader=dict(batch_size=2),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)),
        )
    )


@MODELS.register_module()
class ContSupSegmentor(InfoProEncoderDecoder):
    """A user's own, whose name tells nothing."""


def test_only_types_and_local_settings_change():
    plain = plain_config()
    local = localize(plain, 2, recipe='plain')
    assert local.model.pop('local').num_modules == 2
    assert local.model.type == 'InfoProEncoderDecoder'
    assert local.model.backbone.type == 'InfoProResNetV1c'
    local.model.type, local.model.backbone.type = 'EncoderDecoder', 'ResNetV1c'
    assert local.pop('custom_imports').imports == ['mmseg_infopro']
    assert local.pop('default_scope') == 'mmseg'  # which plain_config leaves out
    assert local.to_dict() == plain.to_dict()


def test_the_config_passed_in_stays_as_it_is():
    plain = plain_config()
    before = plain.to_dict()
    localize(plain, 4)
    assert plain.to_dict() == before


def test_a_config_of_mmseg_is_named_by_its_package():
    cfg = resolve(localize(PSPNET, 2))
    assert cfg.model.backbone.type == 'InfoProResNetV1c'
    assert len(cfg.model.local.boundaries) == 1
    assert cfg.model_wrapper_cfg.type == 'LocalDataParallel'


@pytest.mark.parametrize(
    'partition', [dict(boundaries=['layer1.0']), dict(memory_cap='1GiB'), dict(num_modules=3)]
)
def test_every_way_to_ask_for_a_partition(partition):
    local = localize(plain_config(), 2, recipe='plain')
    local = localize(local, **partition).model.local
    assert {key: local[key] for key in local if key != 'heads'} == partition


def test_the_imports_of_the_config_are_kept():
    plain = plain_config()
    plain.custom_imports = dict(imports='torch.nn', allow_failed_imports=False)
    assert localize(plain, 2).custom_imports.imports == ['torch.nn', 'mmseg_infopro']


def test_given_heads_replace_the_defaults():
    heads = [dict(type='ReconstructionHead', loss_weight=2.0)]
    assert localize(plain_config(), 2, heads=heads).model.local.heads == heads


def test_the_local_form_trains():
    cfg = resolve(localize(plain_config(), 3, recipe='plain'))  # which keeps all gradients
    model = build(cfg.model)
    model.train_step(batch(), KeepGradients.wrap(model))
    assert gradients(model).keys() == {name for name, _ in model.named_parameters()}


def test_a_type_may_be_a_class():
    plain = plain_config()
    plain.model.backbone.type = MODELS.get('ResNetV1c')
    assert localize(plain, 2).model.backbone.type == 'InfoProResNetV1c'


def test_a_backbone_without_wrapper_is_refused_by_the_names_of_the_others():
    plain = plain_config(backbone=dict(type='Linear'))
    with pytest.raises(TypeError, match=r'Linear cannot be cut .* supported: .*ResNetV1c'):
        localize(plain, 2)


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        (dict(backbone=dict(type='VPD')), 'VPD cannot be cut into local modules: it runs'),
        (dict(decode_head=dict(type='Mask2FormerHead')), 'classifies masks'),
        (dict(type='MultimodalEncoderDecoder'), 'frozen CLIP'),
        (dict(type='SegTTAModel'), 'model.type must be one of EncoderDecoder'),
    ],
)
def test_what_cannot_be_cut_says_why(model, message):
    with pytest.raises(TypeError, match=message):
        localize(plain_config(**model), 2)


@pytest.mark.parametrize(
    ('partition', 'got'), [({}, 'none'), (dict(num_modules=2, boundaries=['stem']), 'num_modules')]
)
def test_exactly_one_partition_is_asked_for(partition, got):
    with pytest.raises(ValueError, match=f'exactly one of .* got {got}'):
        localize(plain_config(), **partition)


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes.py', 'names that are near: pspnet/'),
        ('mmdet::faster_rcnn/x.py', 'must begin with one of mmseg::, mmseg_infopro::'),
        ('no/such/file.py', 'does not exist'),
    ],
)
def test_a_config_that_is_not_there(name, message):
    with pytest.raises(ValueError, match=message):
        localize(name, 2)


def test_a_depth_estimator_needs_its_own_heads():
    plain = plain_config(type='DepthEstimator')
    with pytest.raises(ValueError, match='heads must be given for a depth estimator'):
        localize(plain, 2)
    heads = [dict(type='ReconstructionHead', norm_cfg=dict(type='BN'))]
    local = localize(plain, 2, heads=heads)
    assert local.model.type == 'InfoProDepthEstimator'
    build(resolve(local).model)


def test_mmengines_compile_setting_becomes_that_of_the_modules():
    plain = plain_config()
    plain.compile = dict(backend='aot_eager')
    cfg = resolve(localize(plain, 2))
    assert cfg.model.local.compile == dict(backend='aot_eager')
    assert 'compile' not in cfg


def test_a_users_own_class_of_local_modules_is_known_by_its_parents():
    plain = plain_config(type='ContSupSegmentor')
    plain.model.backbone.type = 'InfoProResNetV1c'
    cfg = resolve(localize(plain, 2))
    assert (cfg.model.type, cfg.model.backbone.type) == ('ContSupSegmentor', 'InfoProResNetV1c')
    assert len(build(cfg.model).boundaries) == 1


@pytest.mark.parametrize('kind', ['EncoderDecoder', 'InfoProNoSuchThing'])
def test_local_settings_on_another_class_are_refused(kind):
    cfg = localize(plain_config(), 2)
    cfg.model.type = kind
    with pytest.raises(ValueError, match=rf'got model.type={kind!r}; valid: InfoProEncoderDecoder'):
        resolve(cfg)


def test_checkpointing_of_the_backbone_is_refused_if_it_is_cut():
    plain = plain_config()
    plain.model.backbone.with_cp = True
    assert resolve(localize(plain, 1)).model.backbone.with_cp
    for partition in (dict(num_modules=2), dict(boundaries=['layer2.0'])):
        with pytest.raises(ValueError, match=r"with_cp=False, and local.recompute='units'"):
            resolve(localize(plain, **partition))


def test_what_a_command_line_sets_of_local_stays():
    cfg = plain_config()
    cfg.model.local = dict(recompute='cheap')
    found = localize(cfg, num_modules=2)
    assert found.model.type == 'InfoProEncoderDecoder'
    assert found.model.local.recompute == 'cheap'


def test_one_module_has_no_context():
    cfg = localize(plain_config(), 2)
    cfg.model.local.context = dict(type='ContextSupply')
    assert 'context' not in localize(cfg, num_modules=1).model.local
    assert 'context' in localize(cfg, num_modules=2).model.local


def test_methods_do_not_fit_depth_estimators():
    cfg = plain_config(type='DepthEstimator')
    with pytest.raises(ValueError, match='does not fit a depth estimator'):
        localize(cfg, num_modules=2, method='greedy')
    assert localize(cfg, method='e2e').model.local.num_modules == 1
