# MAN: heads begin with a copy of the next unit and with its slow average, K=4.
_base_ = './infopro_deeplabv3_r101.py'
task = dict(type='MLPHead')
momentum = dict(type='MomentumHead', head=task, unit='next')
model = dict(local=dict(num_modules=4, heads=[momentum]))
