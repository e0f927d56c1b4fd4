"""Judges the rows of datasets that exist already."""
