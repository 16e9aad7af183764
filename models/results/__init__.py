"""What a bundle is worth on a split, next to what any net must beat: `landsweep test` and `landsweep explain`.

Flows in: a bundle, or the best one of a run, and a dataset. Flows out: the files of `results/`.

Front: assess, baselines, explain_split, score_split.
"""
