# MAN++: as MAN, with units of the next stage and a learned scale.
_base_ = './infopro_deeplabv3_r18.py'
task = dict(type='MLPHead')
momentum = dict(type='MomentumHead', head=task, unit='stage', scaled=True)
model = dict(local=dict(boundaries=['layer1.1', 'layer2.1'], heads=[momentum]))
