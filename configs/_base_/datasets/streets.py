# Generated street scenes in the Cityscapes layout: tools/make_streets.py.
_base_ = './cityscapes.py'
data_root = 'data/streets'
scale = (512, 256)
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=scale, ratio_range=(0.75, 1.5))
train_pipeline[3]['crop_size'] = (192, 256)
test_pipeline = _base_.test_pipeline
test_pipeline[1]['scale'] = scale
train_dataloader = dict(
    num_workers=2, dataset=dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
)
val_dataloader = dict(num_workers=2, dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
