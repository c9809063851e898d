"""Labels that no head knows are found before training, with the file and the ids."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger

from mmseg_infopro.datasets import check_labels


def config(root: Path, ids, classes=None, head=None, aux=None, **dataset) -> Config:
    for folder in ('img', 'ann'):
        (root / folder).mkdir(exist_ok=True)
    for number in range(3):
        cv2.imwrite(str(root / f'img/{number}.png'), np.zeros((4, 8, 3), np.uint8))
        mask = np.resize(np.array(ids if number else ids[:1], np.uint8), (4, 8))
        cv2.imwrite(str(root / f'ann/{number}.png'), mask)
    meta = dict(classes=[f'c{i}' for i in range(classes)]) if classes else {}
    data = dict(
        type='BaseSegDataset',
        data_root=str(root),
        data_prefix=dict(img_path='img', seg_map_path='ann'),
        img_suffix='.png',
        metainfo=meta,
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')],
        **dataset,
    )
    model = dict(
        decode_head=head or dict(num_classes=3), **(dict(auxiliary_head=aux) if aux else {})
    )
    return Config(dict(model=model, train_dataloader=dict(dataset=data)))


ONE_LOGIT = dict(num_classes=2, out_channels=1)
REFUSED = {
    'too few classes': (dict(ids=(0, 1, 5)), r'1\.png holds the id 5 .*knows 0 to 2 and 255'),
    'ignored but not': (dict(ids=(0, 254)), r'holds the id 254'),
    'two classes, ids to 2': (dict(ids=(0, 2), head=dict(num_classes=2)), r'holds the id 2'),
    'one logit, ids to 2': (dict(ids=(0, 1, 2), head=ONE_LOGIT), r'holds the id 2 .*0 to 1'),
    'more heads than classes': (dict(ids=(0, 1), classes=2), r'num_classes is 3.*lists 2 classes'),
    'fewer heads than classes': (dict(ids=(0, 1), classes=9), r'num_classes is 3.*lists 9 classes'),
    'an auxiliary head': (
        dict(ids=(0, 2), aux=[dict(num_classes=2)]),
        r'model\.auxiliary_head\[0\] knows 0 to 1',
    ),
    'reduction missing': (dict(ids=(1, 2, 3)), r'holds the id 3.*reduce_zero_label=True'),
    'reduced to 254': (dict(ids=(0, 4), reduce_zero_label=True), r'holds the id 3.*label=False'),
}
ACCEPTED = {
    'all ids': dict(ids=(0, 1, 2, 255), classes=3),
    'one logit': dict(ids=(0, 1, 255), classes=2, head=ONE_LOGIT),
    'one class': dict(ids=(0, 1), classes=2, head=dict(num_classes=1)),
    'reduced': dict(ids=(0, 1, 2, 3), reduce_zero_label=True),
    'another ignored id': dict(ids=(0, 7), head=dict(num_classes=2, ignore_index=7)),
    'no classes': dict(ids=(0, 1)),
}
TOLD = {
    'foreground is 255': (dict(ids=(0, 255), head=ONE_LOGIT), 'if 255 is the foreground'),
    'reduced twice': (dict(ids=(0, 1, 2), reduce_zero_label=True), 'are they reduced already'),
}


@pytest.mark.parametrize(('case', 'sentence'), REFUSED.values(), ids=REFUSED)
def test_unknown_labels_are_refused(tmp_path: Path, case: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_labels(config(tmp_path, **case))


@pytest.mark.parametrize('case', ACCEPTED.values(), ids=ACCEPTED)
def test_labels_that_heads_know_pass(tmp_path: Path, case: dict) -> None:
    check_labels(config(tmp_path, **case))


@pytest.mark.parametrize(('case', 'sentence'), TOLD.values(), ids=TOLD)
def test_what_mmseg_trains_on_is_told(tmp_path: Path, case, sentence, monkeypatch) -> None:
    told: list[str] = []
    logger = MMLogger.get_current_instance()
    monkeypatch.setattr(
        logger, 'log', lambda level, text: told.append(text) if level >= 30 else None
    )
    check_labels(config(tmp_path, **case))
    assert sentence in told[0]
