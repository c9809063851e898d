# DeepLabV3-R50 on whole CamVid frames, for a GPU: 8 images of 360x480.
_base_ = [
    '../_base_/models/deeplabv3_r50.py',
    '../_base_/datasets/camvid.py',
    '../_base_/schedules/sgd_poly.py',
    '../_base_/runtime.py',
]
max_iters = 10000
crop_size = (360, 480)
model = dict(
    data_preprocessor=dict(size=crop_size),
    decode_head=dict(num_classes=11),
    auxiliary_head=dict(num_classes=11),
)
random_resize = dict(_base_.random_resize, ratio_range=(0.5, 2.0))
random_crop = dict(_base_.random_crop, crop_size=crop_size)
train_pipeline = [
    _base_.load_image,
    _base_.annotations,
    random_resize,
    random_crop,
    *_base_.distortions,
    _base_.pack,
]
train_dataloader = dict(
    batch_size=8, num_workers=4, dataset=dict(dataset=dict(pipeline=train_pipeline))
)
param_scheduler = [
    dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=max_iters, by_epoch=False)
]
train_cfg = dict(max_iters=max_iters, val_interval=1000)
default_hooks = dict(checkpoint=dict(interval=1000))
