"""CNU_ADL: affect from a face network and statistics over time (Do, Nguyen-Quynh, Kim; FG 2020; arXiv 2002.09120)."""
