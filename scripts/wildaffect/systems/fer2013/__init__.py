"""fer2013: seven expressions of single faces, by a small network that comes trained."""
