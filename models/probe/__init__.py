"""Frozen features and a logistic regression on them: the floor that every table of nets begins with.

Flows in: a dataset, and a net whose weights are not touched. Flows out: the same net with another last layer, in a
run's folder like any other, and what its nearest neighbours would have said.

Front: probe.
"""
