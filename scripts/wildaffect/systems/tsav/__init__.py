"""TSAV: two-stream aural-visual affect analysis (Kuhnke, Rumberg, Ostermann; FG 2020; arXiv 2002.03399)."""
