"""The self-contained HTML report and the score table for the terminal."""
