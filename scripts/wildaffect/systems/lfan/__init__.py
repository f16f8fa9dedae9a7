"""LFAN: audio-visual leader-follower attentive fusion (Zhang, Ding, Wei, Guan; ICCV Workshops 2021; arXiv 2107.01175)."""
