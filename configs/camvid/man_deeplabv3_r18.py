# MAN: heads begin with a copy of the next unit and with its slow average.
_base_ = './infopro_deeplabv3_r18.py'
task = dict(type='MLPHead')
momentum = dict(type='MomentumHead', head=task, unit='next')
model = dict(local=dict(boundaries=['layer1.1', 'layer2.1'], heads=[momentum]))
