"""Media: the time base of a video, its upright frames and its audio on the same clock."""
