# TRGL: a task head, and small residual branches.
_base_ = './infopro_deeplabv3_r18.py'
task = dict(type='MLPHead')
residual = dict(type='ResidualPenalty', tau=10.0)
model = dict(local=dict(boundaries=['layer1.1', 'layer2.1'], heads=[task, residual]))
