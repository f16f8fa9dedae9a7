"""Media: the time base of a video, its upright pictures and its sound on the same clock."""
