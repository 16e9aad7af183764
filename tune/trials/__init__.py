"""A trial on its worker: fitted from where it stands, and what it keeps on the disk to go on from.

Flows in: parameters, rows, a folder. Flows out: reports, states and bundles.

Front: checkpoints, fitting, job, trial.
"""
