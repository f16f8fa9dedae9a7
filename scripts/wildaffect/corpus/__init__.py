"""Corpora: trials, partitions, folds and labels, from any layout on disk."""
