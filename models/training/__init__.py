"""One net trained, resumable to the bit, and everything that comes of it: `landsweep train`.

Flows in: settings and rows. Flows out: a run's folder with checkpoints, logs and results.
"""
