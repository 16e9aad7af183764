"""Weights that somebody has trained before, in a net with other bands and other classes.

Flows in: a fresh net, and a bundle, a file, or timm's hub. Flows out: the net with what fits, and a
report of all of it.

Front: adapt, describe, load.
"""
