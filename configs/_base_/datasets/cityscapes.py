dataset_type = 'CityscapesDataset'
data_root = 'data/cityscapes'
num_classes = 19
scale = (2048, 1024)
crop_size = (512, 1024)
load_image = dict(type='LoadCheckedImage')
annotations = dict(type='LoadCheckedAnnotations', num_classes=num_classes)
random_resize = dict(type='RandomResize', scale=scale, ratio_range=(0.5, 2.0), keep_ratio=True)
random_crop = dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75)
distortions = [dict(type='RandomFlip', prob=0.5), dict(type='PhotoMetricDistortion')]
pack = dict(type='PackSegInputs')
train_pipeline = [load_image, annotations, random_resize, random_crop, *distortions, pack]
# Labels after Resize: the prediction is compared at the label's own size.
test_pipeline = [
    load_image,
    dict(type='Resize', scale=scale, keep_ratio=True),
    annotations,
    pack,
]
tta_views = [
    [
        dict(type='Resize', scale_factor=ratio, keep_ratio=True)
        for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    ],
    [
        dict(type='RandomFlip', prob=0.0, direction='horizontal'),
        dict(type='RandomFlip', prob=1.0, direction='horizontal'),
    ],
]
tta_pipeline = [
    load_image,
    dict(type='TestTimeAug', transforms=[*tta_views, [annotations], [pack]]),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='StreamSampler', shuffle=True),
    dataset=dict(
        type='SeededDataset',
        dataset=dict(
            type=dataset_type,
            data_root=data_root,
            data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
            pipeline=train_pipeline,
        ),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
