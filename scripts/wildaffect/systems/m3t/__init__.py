"""M3T: audio-visual valence and arousal from short windows (Zhang, Huang, Zeng, Shan, Chen; ABAW 2020; arXiv 2002.02957)."""
