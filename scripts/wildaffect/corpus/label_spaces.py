"""What annotation files name, in the organisers' order, and from where on a predicted action unit counts as active."""

VALENCE_AROUSAL = ("valence", "arousal")
"""Real numbers in [-1, 1] (headers of the annotation files)."""

EXPRESSIONS7 = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
"""Classes until 2021 (headers of the 2020 and 2021 annotation files)."""
EXPRESSIONS8 = (*EXPRESSIONS7, "Other")
"""Classes since 2022 (headers of the annotation files)."""

AU8 = ("AU1", "AU2", "AU4", "AU6", "AU12", "AU15", "AU20", "AU25")
"""Action units of 2020 (headers of the annotation files)."""
AU12 = ("AU1", "AU2", "AU4", "AU6", "AU7", "AU10", "AU12", "AU15", "AU23", "AU24", "AU25", "AU26")
"""Action units since 2021 (headers of the annotation files)."""

AU_THRESHOLD = 0.5
"""A unit is active above this, so a value of exactly 0.5 is inactive (TSAV spec 6)."""
