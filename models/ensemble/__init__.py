"""Several bundles as one: which of them help each other, and a bundle that answers with the mean of what they say.

Flows in: bundles of one dataset, such as a search keeps. Flows out: an ensemble's bundle, what it gains and costs.

Front: ensemble.
"""
