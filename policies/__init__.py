"""Policies as files, and the documents rendered from them and from what was logged."""
