"""wildaffect: audio-visual affect analysis in the wild, from raw videos to a scored report."""
