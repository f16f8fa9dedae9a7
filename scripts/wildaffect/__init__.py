"""wildaffect: audio-visual affect analysis in the wild, from raw videos to a scored report."""

__version__ = "0.1.0"
