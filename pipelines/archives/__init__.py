"""Archives of every kind brought to one form, so that packing does not know which kind it packs.

Flows in: a folder, a tar, or a URL, and which part of it is wanted. Flows out: a `Catalogue` of patches with labels and
splits, and how the files of a patch are read.

Front: catalogue, detect, patch_files, understood.
"""
