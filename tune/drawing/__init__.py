"""What a new trial is: who draws its parameters, which points come first, and what earlier studies and families of nets
say of them.

Flows in: settings, and the trials that there are. Flows out: a sampler, points, trials as history.

Front: history, points, samplers.
"""
