"""Nets by name: our own and timm's, with any bands, all with the same face.

Flows in: a name, bands, a patch size, band statistics. Flows out: a `ReflectanceNet`, and what it is made of.

Front: build, catalog, diagram, ensemble, families, landnet, layers, priors, random_convolutions, recipe.
"""
