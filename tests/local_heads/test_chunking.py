"""Which heads compute their losses in chunks, and the classes that are made for it."""

import pytest
from mmengine.config import ConfigDict
from mmseg.models.decode_heads import FCNHead
from mmseg.registry import MODELS
from mmseg.structures import OHEMPixelSampler

from mmseg_infopro.local_heads import ChunkedLoss
from mmseg_infopro.local_heads.chunking import chunked, chunked_class
from tests.models import HEADS, build, model_config


@MODELS.register_module()
class HeadOfAUser(FCNHead):
    """With mmseg's loss."""


class OtherSampler(OHEMPixelSampler):
    """Might choose by anything."""


class OwnLossHead(FCNHead):
    """With another loss."""

    def loss_by_feat(self, seg_logits, batch_data_samples):
        return dict(loss=seg_logits.mean())


class FixedLossHead(FCNHead):
    """Chooses its loss itself."""

    def __init__(self, in_channels):
        super().__init__(in_channels=in_channels, channels=8, num_classes=5)


def test_a_users_head_gets_a_class_that_is_registered_once():
    kind = chunked(dict(type='HeadOfAUser'))['type']
    assert kind.__mro__[1:3] == (HeadOfAUser, FCNHead)
    assert issubclass(kind, ChunkedLoss)
    assert MODELS.get('ChunkedHeadOfAUser') is kind is chunked_class(HeadOfAUser)
    assert chunked(dict(type='mmseg.FCNHead'))['type'] is MODELS.get('ChunkedFCNHead')
    assert chunked_class(OwnLossHead) is None


def test_classes_are_made_without_a_search_of_the_registries(monkeypatch):
    monkeypatch.setattr(type(MODELS), 'get', None)
    assert chunked_class(type('Another', (FCNHead,), {})) is not None


@pytest.mark.parametrize(
    'head',
    [
        dict(type='FCNHead', loss_decode=dict(type='DiceLoss')),
        dict(type='FCNHead', loss_decode=[dict(type='CrossEntropyLoss', use_sigmoid=True)]),
        dict(type='FCNHead', sampler=dict(type=OtherSampler)),
        dict(type=OwnLossHead),
        dict(type=FixedLossHead, in_channels=8),
        dict(type='ReconstructionHead'),
        dict(type='ChunkedFCNHead'),
        None,
    ],
)
def test_what_cannot_be_chunked_stays(head):
    assert chunked(head) == head


def test_a_model_chunks_all_of_its_heads():
    head = model_config()['decode_head']
    cfg = model_config(local=dict(boundaries=['layer2.1'], chunked_losses=True))
    cfg['auxiliary_head'] = [head, dict(head, loss_decode=dict(type='DiceLoss'))]
    model = build(ConfigDict(cfg))
    chunks = [isinstance(head, ChunkedLoss) for head in (model.decode_head, *model.auxiliary_head)]
    assert chunks == [True, True, False]
    task, other = model.border_heads(0)
    assert isinstance(task, ChunkedLoss)
    assert [task.local_name, other.local_name] == [head['type'] for head in HEADS]
    plain = build(ConfigDict(model_config(local=dict(boundaries=['layer2.1']))))
    assert not isinstance(plain.border_heads(0)[0], ChunkedLoss)


def test_a_cascade_chunks_every_stage():
    head = model_config()['decode_head']
    cfg = model_config(local=dict(num_modules=1, chunked_losses=True), num_stages=2)
    ocr = dict(type='OCRHead', ocr_channels=4)
    ocr |= {key: head[key] for key in ('in_channels', 'in_index', 'channels', 'num_classes')}
    cfg.update(type='InfoProCascadeEncoderDecoder', decode_head=[head, ocr])
    assert all(isinstance(head, ChunkedLoss) for head in build(ConfigDict(cfg)).decode_head)
