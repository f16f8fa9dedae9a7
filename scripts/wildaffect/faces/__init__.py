"""Faces: detection, tracks over a whole video, the person of each trial, aligned crops."""
