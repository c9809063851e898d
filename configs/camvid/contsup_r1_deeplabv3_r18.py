# ContSup R1: modules also get what the module before started from.
_base_ = './infopro_deeplabv3_r18.py'
task = dict(type='MLPHead')
context = dict(type='ContextSupply', image=False, history=1)
model = dict(local=dict(boundaries=['layer1.1', 'layer2.1'], heads=[task], context=context))
