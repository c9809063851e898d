"""Every shipped config: it builds, plans and steps, and says what the paper says."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmseg.registry import MODELS

from mmseg_infopro import resolve
from mmseg_infopro.config.build import build_end_to_end
from mmseg_infopro.config.step import config_peak

ROOT = Path(__file__).resolve().parents[2] / 'configs'
CONFIGS = sorted(
    str(path.relative_to(ROOT)) for path in ROOT.rglob('*.py') if '_base_' not in path.parts
)
MAIN = 'infopro_deeplabv3_cityscapes.py'


def read(name):
    return Config.fromfile(ROOT / name)


@pytest.mark.parametrize('name', CONFIGS)
def test_it_builds_and_loads_its_own_package(name):
    cfg = read(name)
    assert 'mmseg_infopro' in cfg.custom_imports.imports
    model = build_end_to_end(cfg)
    assert model.num_classes == cfg.model.decode_head.num_classes


@pytest.mark.parametrize('name', [MAIN, 'camvid/infopro_deeplabv3_r18.py'])
def test_a_segmentor_plans_as_resolve_does(name):
    cfg = read(name)
    boundaries = resolve(cfg).model.local.boundaries
    cfg.model.pop('pretrained', None)
    assert MODELS.build(cfg.model).boundaries == tuple(boundaries)


@pytest.mark.parametrize('name', ['camvid/infopro_deeplabv3_r18.py', MAIN])
def test_its_step_needs_less_memory_than_end_to_end(name):
    cfg = resolve(read(name))
    end_to_end = read(name)
    end_to_end.model.local = dict(num_modules=1)
    assert config_peak(cfg).total < 0.85 * config_peak(end_to_end).total


@pytest.mark.parametrize('name', [MAIN, 'cityscapes/infopro_deeplabv3_r101_bs12.py',
                                  'cityscapes/infopro_deeplabv3_r101_640x1280.py'])  # fmt: skip
def test_two_modules_of_r101_are_the_papers(name):
    assert resolve(read(name)).model.local.boundaries == ['layer3.12']


@pytest.mark.parametrize(
    ('name', 'batch_size', 'crop', 'lr', 'weights'),
    [
        ('infopro_deeplabv3_r101.py', 4, (512, 1024), 0.01, (1.0, 1.5)),
        ('infopro_deeplabv3_r101_bs12.py', 6, (512, 1024), 0.015, (0.1, 1.0)),
        ('infopro_deeplabv3_r101_640x1280.py', 4, (640, 1280), 0.015, (1.0, 2.0)),
    ],
)
@pytest.mark.parametrize('depth', [101, 50])
def test_the_recipe_is_the_papers(name, batch_size, crop, lr, weights, depth):
    cfg = read('cityscapes/' + name.replace('101', str(depth)))
    task, reconstruction = cfg.model.local.heads
    crops = [step.crop_size for step in cfg.train_dataloader.dataset.dataset.pipeline
             if step.type == 'RandomCrop']  # fmt: skip
    assert cfg.model.backbone.depth == depth
    assert cfg.train_dataloader.batch_size == batch_size
    assert tuple(cfg.model.data_preprocessor['size']) == crop
    assert [tuple(size) for size in crops] == [crop]
    assert (task.loss_decode.loss_weight, reconstruction.loss_weight) == weights
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=lr, momentum=0.9, weight_decay=5e-4)
    assert cfg.train_cfg.max_iters == cfg.param_scheduler[0].end == 40000
    assert cfg.param_scheduler[0].eta_min == 1e-4


@pytest.mark.parametrize('name', [name for name in CONFIGS if '/e2e' in name])
def test_the_end_to_end_twin_is_equal_in_everything_else(name):
    end_to_end, local = read(name), read(name.replace('e2e', 'infopro'))
    assert local.model.pop('local')
    for variable in ('task', 'reconstruction'):  # what the list of heads was made of
        local.pop(variable, None)
    local.model.type = 'EncoderDecoder'
    local.model.backbone.type = local.model.backbone.type.removeprefix('InfoPro')
    assert local.to_dict() == end_to_end.to_dict()


def test_a_child_config_changes_depth_and_number_of_modules(tmp_path):
    child = tmp_path / 'child.py'
    child.write_text(
        f'_base_ = {str(ROOT / MAIN)!r}\n'
        'model = dict(backbone=dict(depth=50), local=dict(num_modules=3))\n'
    )
    boundaries = resolve(Config.fromfile(child)).model.local.boundaries
    assert len(boundaries) == 2
    assert set(boundaries) < {
        f'layer{s}.{b}' for s, n in enumerate((3, 4, 6, 3), 1) for b in range(n)
    }


def test_the_papers_heads_at_most_58_percent_of_end_to_end():
    cfg = resolve(read(MAIN))
    end_to_end = read('cityscapes/e2e_deeplabv3_r101.py')
    assert config_peak(cfg).total <= 0.58 * config_peak(end_to_end).total
