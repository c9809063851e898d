# ContSup R1E: modules also get the image, and what the module before started from, K=4.
_base_ = './infopro_deeplabv3_r101.py'
task = dict(type='MLPHead')
context = dict(type='ContextSupply', image=True, history=1)
model = dict(local=dict(num_modules=4, heads=[task], context=context))
