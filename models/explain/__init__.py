"""What a net looks at: where in a patch it saw each class, which bands it decides by, what its stages make of a patch.

Flows in: a net and patches. Flows out: heat maps, importance of bands, and pages of pictures of them.

Front: band_importance, maps, pages, run_artefacts.
"""
