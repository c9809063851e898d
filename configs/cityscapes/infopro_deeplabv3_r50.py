_base_ = './infopro_deeplabv3_r101.py'
model = dict(pretrained='open-mmlab://resnet50_v1c', backbone=dict(depth=50))
