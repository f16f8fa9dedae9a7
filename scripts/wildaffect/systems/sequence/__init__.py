"""Sequence: any features and embeddings of frames, and a small temporal network over them; this project's own system."""
