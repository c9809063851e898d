# The SegNet tutorial's release of CamVid, frames of 480x360, 11 classes.
_base_ = './cityscapes.py'
num_classes = 11
scale = (480, 360)
crop_size = (192, 256)
annotations = dict(_base_.annotations, num_classes=num_classes)
random_resize = dict(_base_.random_resize, scale=scale, ratio_range=(0.5, 1.2))
random_crop = dict(_base_.random_crop, crop_size=crop_size)
train_pipeline = [
    _base_.load_image,
    annotations,
    random_resize,
    random_crop,
    *_base_.distortions,
    _base_.pack,
]
test_pipeline = [
    _base_.load_image,
    dict(type='Resize', scale=scale, keep_ratio=True),
    annotations,
    _base_.pack,
]
tta_pipeline = [
    _base_.load_image,
    dict(type='TestTimeAug', transforms=[*_base_.tta_views, [annotations], [_base_.pack]]),
]
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
