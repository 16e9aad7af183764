"""One file's bytes to the pixels of a patch, so that nothing a file claims is believed before it was checked.

Flows in: bytes, from an archive or from an upload. Flows out: a `Patch`, each band at its own resolution, by name.

Front: band_names, encoding, judge, meaning, patch, plain_tiff, raster, tiff_header.
"""
