"""What the pictures show: the right colours, channels and sizes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_infopro.config.read import read_config
from mmseg_infopro.hooks.pictures import (
    Example,
    as_image,
    colour_labels,
    comparison_figure,
    make_example,
)
from mmseg_infopro.hooks.pictures_hook import evenly_spaced

CONFIG = Path(__file__).parents[2] / 'configs/streets/infopro_deeplabv3_r18.py'
PALETTE = [[10, 20, 30], [40, 50, 60]]
HEIGHT, WIDTH = 32, 64
RECONSTRUCTION = dict(type='ReconstructionHead', channels=8, downscale=2)


def build_model(bgr_to_rgb: bool = True, **local: Any) -> Any:
    cfg = read_config(str(CONFIG)).model
    cfg.backbone.update(stem_channels=8, base_channels=8)
    cfg.decode_head.update(in_channels=64, channels=8)
    cfg.auxiliary_head.update(in_channels=32, channels=8)
    cfg.data_preprocessor.bgr_to_rgb = bgr_to_rgb
    cfg.local = {'boundaries': ['layer2.0'], 'heads': [RECONSTRUCTION], **local}
    return MODELS.build(cfg).eval()


def make_sample() -> dict[str, Any]:
    """What a test data set yields: a BGR image, here of one colour."""
    size = (HEIGHT, WIDTH)
    image = torch.tensor([250, 100, 5], dtype=torch.uint8).view(3, 1, 1).expand(3, *size)
    sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size))
    sample.gt_sem_seg = PixelData(data=torch.ones(1, *size, dtype=torch.long))
    return dict(inputs=image, data_samples=sample)


def test_labels_get_their_colours_and_ignored_ones_black() -> None:
    painted = colour_labels(np.array([[0, 1, 255]], dtype=np.uint8), PALETTE)
    assert painted.tolist() == [[[10, 20, 30], [40, 50, 60], [0, 0, 0]]]


def test_labels_beyond_all_colours_are_black() -> None:
    assert colour_labels(np.array([[65535, -1]]), PALETTE).tolist() == [[[0, 0, 0]] * 2]


def test_of_five_channels_three_are_shown() -> None:
    model = build_model()
    model.data_preprocessor = MODELS.build(dict(type='SegDataPreProcessor'))
    model.border_heads = lambda index: ()
    model.predict = lambda inputs, data_samples: [SimpleNamespace(pred_sem_seg=label)]
    sample = make_sample()
    label = sample['data_samples'].gt_sem_seg
    sample['inputs'] = torch.arange(5, dtype=torch.uint8).view(5, 1, 1).expand(5, HEIGHT, WIDTH)
    assert make_example(model, sample).image[0, 0].tolist() == [2, 1, 0]


def test_an_example_has_the_image_in_rgb_and_the_prediction_of_the_model() -> None:
    model, sample = build_model(), make_sample()
    example = make_example(model, sample)
    assert example.image[0, 0].tolist() == [5, 100, 250]
    batch = dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']])
    with torch.no_grad():
        (expected,) = model.test_step(batch)
    assert np.array_equal(example.prediction, expected.pred_sem_seg.data[0].numpy())
    assert example.reconstructions['layer2.0'].shape == (HEIGHT // 2, WIDTH // 2, 3)


@pytest.mark.parametrize('bgr_to_rgb', [True, False])
def test_the_reconstruction_is_rgb_in_either_channel_order(bgr_to_rgb: bool) -> None:
    """The first output channel is red only if the network's input is RGB."""
    model = build_model(bgr_to_rgb)
    predict_image = model.border_heads(0)[0].predict_image
    torch.nn.init.zeros_(predict_image.weight)
    predict_image.bias.data = torch.tensor([4.0, 0.0, -4.0])
    red, _, blue = make_example(model, make_sample()).reconstructions['layer2.0'][0, 0]
    assert (red > blue) == bgr_to_rgb


def test_the_reconstruction_reads_the_state_that_trained_the_head() -> None:
    model, sample = build_model(), make_sample()
    seen: list[torch.Tensor] = []
    head = model.border_heads(0)[0]
    head.reduce.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    make_example(model, sample)
    batch = dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']])
    data = model.data_preprocessor(batch, False)
    with torch.no_grad():
        next(model.pass_losses(**data))
    assert len(seen) == 2
    assert torch.equal(*seen)


@pytest.mark.parametrize(
    'local', [dict(boundaries=[]), dict(heads=[dict(type='FCNHead', channels=8, num_convs=1)])]
)
def test_a_model_without_a_reconstruction_shows_its_prediction(local: dict[str, Any]) -> None:
    assert make_example(build_model(**local), make_sample()).reconstructions == {}


def test_the_figure_has_a_row_per_example_and_a_legend_of_all_classes() -> None:
    label = np.zeros((8, 16), dtype=np.uint8)
    image = np.zeros((8, 16, 3), dtype=np.uint8)
    small = np.zeros((4, 8, 3), dtype=np.float32)
    rebuilt = {'layer2.0': small, 'layer3.1': small}
    example = Example(image, label, label, rebuilt)
    figure = comparison_figure([example, example], ['road', 'sky'], PALETTE)
    assert len(figure.axes) == 10
    assert 'layer2.0' in figure.axes[3].get_title()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ['road', 'sky']
    assert 'layer3.1' in figure.axes[4].get_title()
    assert as_image(figure).shape[2] == 3


def test_images_are_evenly_spaced() -> None:
    assert evenly_spaced(100, 3) == [16, 50, 83]
    assert evenly_spaced(2, 3) == [0, 1]
