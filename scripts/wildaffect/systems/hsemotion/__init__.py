"""hsemotion: valence, arousal and eight expressions of single faces, by networks of EmotiEffLib that come trained."""
