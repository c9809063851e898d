"""Recipes: words for what a step keeps, with the gradients of the plain step."""

from copy import deepcopy
from functools import cache

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from mmseg_infopro import localize, resolve
from mmseg_infopro.config.arguments import apply_method, apply_partition_arguments
from mmseg_infopro.config.levers import LEVERS
from mmseg_infopro.config.read import read_config
from mmseg_infopro.config.recipes import RECIPES
from mmseg_infopro.config.step import dry_config_step
from mmseg_infopro.config.writing import inheriting_config
from tests.config.test_localize import plain_config
from tests.config.test_methods import parse
from tests.models import HEADS, KeepGradients, batch, build, gradients

ALL = dict(chunked_losses=True, update_per_module=True)


def in_double(cfg):
    """Build a model of doubles: what is left of a difference is no rounding of floats."""
    model = build(cfg.model).double()
    model.data_preprocessor.register_forward_hook(
        lambda module, args, data: {**data, 'inputs': data['inputs'].double()}
    )
    return model


@cache
def local(recipe, num_modules=2):
    """Return a resolved config, to be read only."""
    return resolve(localize(plain_config(), num_modules, heads=HEADS, recipe=recipe))


@pytest.mark.parametrize(
    ('recipe', 'num_modules'), [('free', 2), ('lean', 1), ('lean', 2), ('least', 2)]
)
def test_every_gradient_is_that_of_the_plain_step(recipe, num_modules):
    cfg = deepcopy(local(recipe, num_modules))
    cfg.model.local.update_per_module = False  # which drops them
    plain = localize(cfg, recipe='plain', boundaries=list(cfg.model.local.boundaries))
    found = []
    for own in (plain, cfg):
        model = in_double(own)
        model.train_step(batch(), KeepGradients.wrap(model))
        found.append(gradients(model))
    assert found[0].keys() == found[1].keys()
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('optimizer', [dict(type='SGD', momentum=0.9), dict(type='AdamW')])
def test_updated_weights_are_those_of_plain_steps(optimizer):
    weights = []
    for recipe in ('plain', 'lean'):
        cfg = plain_config()
        cfg.optim_wrapper.optimizer = dict(optimizer, lr=1e-3, weight_decay=0.01)
        cfg = resolve(localize(cfg, boundaries=['layer2.1'], heads=HEADS, recipe=recipe))
        assert cfg.optim_wrapper.optimizer.get('fused', False) == (recipe == 'lean')
        model = in_double(cfg)
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        for seed in range(2):
            model.train_step(batch(seed=seed), wrapper)
        weights.append(model.state_dict())
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-7, atol=1e-9)


def test_what_the_words_set():
    found = {word: local(word).model.local for word in ('plain', 'free', 'lean')}
    for key in ('chunked_losses', 'update_per_module', 'recompute'):
        assert key not in found['plain']
    assert {key: found['free'].get(key) for key in (*ALL, 'recompute')} == dict(ALL, recompute=None)
    assert found['lean'].recompute == 'cheap'
    assert localize(plain_config(), 2, recipe='least').model.local.recompute == 'auto'


def test_each_word_needs_less_than_the_one_before():
    peaks = [dry_config_step(local(word)).peak.total for word in RECIPES]
    assert peaks == sorted(peaks, reverse=True)
    assert len(set(peaks)) == len(peaks)


def test_the_default_is_for_what_is_cut_for_the_first_time():
    plain = plain_config()
    assert 'chunked_losses' not in localize(plain, 1).model.local
    cut = localize(plain, 2)
    assert cut.model.local.chunked_losses
    assert cut.to_dict() == localize(plain, 2, recipe='free').to_dict()
    own = localize(plain, 2, recipe='plain')
    assert localize(own, 3).model.local == dict(own.model.local, num_modules=3)
    undone = localize(cut, 2, recipe='plain')
    assert undone.optim_wrapper == plain.optim_wrapper
    assert undone.model.local == own.model.local


def test_plain_takes_the_heads_of_the_lean_configs_back():
    lean = read_config('configs/cityscapes/lean_deeplabv3_r101.py')
    cfg = localize(lean, 2, recipe='plain')
    assert (cfg.model.decode_head.type, cfg.model.auxiliary_head.type) == ('ASPPHead', 'FCNHead')
    assert cfg.model.local.heads == lean.model.local.heads


@pytest.mark.parametrize(
    ('wrapper', 'left_out'),
    [
        (dict(clip_grad=dict(max_norm=1.0)), 'update per module'),
        (dict(accumulative_counts=2), 'update per module'),
        (dict(optimizer=dict(type='Rprop', lr=0.1)), 'fused step'),
        (dict(optimizer=dict(type='SGD', lr=0.1, foreach=True)), 'fused step'),
    ],
)
def test_what_does_not_fit_is_left_out(wrapper, left_out):
    cfg = plain_config()
    cfg.optim_wrapper.update(wrapper)
    cfg = localize(cfg, 2)
    for name in RECIPES['free'].levers:
        for key, value in LEVERS[name].settings.items():
            holder = cfg.model.local if 'local' in key else cfg.optim_wrapper.optimizer
            assert (holder.get(key.rpartition('.')[2]) == value) == (name != left_out)


def test_a_compiled_model_recomputes_nothing():
    cfg = plain_config()
    cfg.compile = True
    assert 'recompute' not in localize(cfg, 2, recipe='lean').model.local


def test_what_a_config_says_itself_stays():
    cfg = plain_config()
    cfg.model.local = dict(update_per_module=False)
    assert localize(cfg, 2).model.local.update_per_module is False
    assert localize(cfg, 2, recipe='free').model.local.update_per_module is True


def test_a_word_with_a_typo():
    with pytest.raises(ValueError, match=r"one of plain, free, .* got 'leen'; did you mean lean"):
        localize(plain_config(), 2, recipe='leen')
    with pytest.raises(ValueError, match=r"added to a recipe must .* got 'ofload'; .* offload"):
        localize(plain_config(), 2, recipe='lean+ofload')


def test_levers_are_added_to_a_recipe():
    cfg = localize(plain_config(), 2, recipe='plain+chunked-losses+cheap-recompute')
    assert cfg.model.local.chunked_losses and cfg.model.local.recompute == 'cheap'
    assert 'update_per_module' not in cfg.model.local
    cfg = localize(plain_config(), 2, recipe='lean+planned-recompute')
    assert cfg.model.local.recompute == 'auto'


def test_a_command_line_names_a_recipe():
    cfg = apply_partition_arguments(plain_config(), parse('--num-modules', '2'))
    assert cfg.model.local.chunked_losses
    lean = apply_partition_arguments(cfg, parse('--recipe', 'lean'))
    assert (lean.model.local.recompute, lean.model.local.num_modules) == ('cheap', 2)
    assert apply_method(plain_config(), None, 'lean').model.local.recompute == 'cheap'
    with pytest.raises(ValueError, match='no local modules: say --num-modules'):
        apply_partition_arguments(plain_config(), parse('--recipe', 'lean'))


def test_shipped_configs_stay_as_they_are_unless_asked():
    cfg = read_config('configs/infopro_deeplabv3_cityscapes.py')
    assert apply_partition_arguments(deepcopy(cfg), parse()).to_dict() == cfg.to_dict()
    assert not {*localize(cfg, 4).model.local} & {*ALL, 'recompute'}


@pytest.mark.parametrize('word', ['plain', 'lean', 'lean+looped-step'])
def test_a_written_config_has_the_recipe(word, tmp_path):
    name = 'configs/camvid/lean_deeplabv3_r18.py'
    base = read_config(name)
    cfg = localize(base, 3, recipe=word)
    out = tmp_path / 'written.py'
    out.write_text(inheriting_config(base, name, cfg, out))
    found = Config.fromfile(out)
    assert found.model == cfg.model
    assert found.optim_wrapper == cfg.optim_wrapper
