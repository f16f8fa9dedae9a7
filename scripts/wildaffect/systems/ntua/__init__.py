"""NTUA: face, body, context and audio (Antoniadis, Pikoulis, Filntisis, Maragos; ICCV Workshops 2021; arXiv 2107.03465)."""
