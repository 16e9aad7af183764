"""Who goes on: rungs and promotion, and the bridge on which Ray Tune's events become a study that is always true.

Flows in: what Tune's workers report. Flows out: their next jobs, and the study.

Front: budget, record, rungs, run_jobs.
"""
