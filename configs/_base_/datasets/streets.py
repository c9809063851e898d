# Generated street scenes in the Cityscapes layout, tools/make_streets.py, for a CPU.
_base_ = './cityscapes.py'
data_root = 'data/streets'
scale = (512, 256)
crop_size = (192, 256)
random_resize = dict(_base_.random_resize, scale=scale, ratio_range=(0.75, 1.5))
random_crop = dict(_base_.random_crop, crop_size=crop_size)
train_pipeline = [
    _base_.load_image,
    _base_.annotations,
    random_resize,
    random_crop,
    *_base_.distortions,
    _base_.pack,
]
test_pipeline = [
    _base_.load_image,
    dict(type='Resize', scale=scale, keep_ratio=True),
    _base_.annotations,
    _base_.pack,
]
train_dataloader = dict(
    num_workers=2,
    pin_memory=False,
    dataset=dict(dataset=dict(data_root=data_root, pipeline=train_pipeline)),
)
val_dataloader = dict(
    num_workers=2, pin_memory=False, dataset=dict(data_root=data_root, pipeline=test_pipeline)
)
test_dataloader = val_dataloader
