"""A made-up archive in BigEarthNet v2's layout, so that everything downstream runs without a download.

Flows in: a number of patches and a seed. Flows out: GeoTIFFs and tables with classes that can be learned.

Front: sample.
"""
