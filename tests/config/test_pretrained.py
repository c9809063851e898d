"""Where a model config names pretrained weights."""

from mmseg_infopro.config.pretrained import pretrained_files, without_pretrained

MODEL = dict(
    pretrained='open-mmlab://resnet50',
    backbone=dict(pretrained=True, init_cfg=dict(type='Pretrained', checkpoint='x.pth')),
    heads=[dict(init_cfg=[dict(type='Normal', std=0.1), dict(type='Pretrained', checkpoint='y')])],
)


def test_a_model_without_them_keeps_all_else():
    assert without_pretrained(MODEL) == dict(
        backbone=dict(pretrained=False), heads=[dict(init_cfg=[dict(type='Normal', std=0.1)])]
    )
    assert MODEL['pretrained'] == 'open-mmlab://resnet50'


def test_files_and_urls_are_found_and_the_names_of_a_model_zoo_are_not():
    neck = dict(pretrained='https://example.org/z.pth')
    assert list(pretrained_files({**MODEL, 'neck': neck})) == ['x.pth', 'y', neck['pretrained']]
