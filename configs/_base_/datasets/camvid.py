# The SegNet tutorial's release of CamVid, frames of 480x360, 11 classes.
_base_ = './cityscapes.py'
num_classes = 11
scale = (480, 360)
train_pipeline = _base_.train_pipeline
train_pipeline[1]['num_classes'] = num_classes
train_pipeline[2].update(scale=scale, ratio_range=(0.5, 1.2))
train_pipeline[3]['crop_size'] = (192, 256)
test_pipeline = _base_.test_pipeline
test_pipeline[1]['scale'] = scale
test_pipeline[2]['num_classes'] = num_classes
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1]['transforms'][2][0]['num_classes'] = num_classes
camvid = dict(type='CamVidDataset', data_root='data/camvid', img_suffix='.png')
train_dataloader = dict(
    num_workers=2,
    dataset=dict(
        dataset=dict(
            **camvid,
            data_prefix=dict(img_path='train', seg_map_path='trainannot'),
            pipeline=train_pipeline,
        )
    ),
)
val_dataloader = dict(
    num_workers=2,
    dataset=dict(
        **camvid,
        data_prefix=dict(img_path='val', seg_map_path='valannot'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
