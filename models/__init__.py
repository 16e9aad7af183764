"""Batches to a trained, calibrated, explained bundle. Plain torch and timm; knows no Ray."""
