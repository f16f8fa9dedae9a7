"""Labels of the challenge that more than one part of the project names, in the organisers' order.

``scoring/editions.yaml`` says which edition has which of them; a test keeps both equal.
"""

VALENCE_AROUSAL = ("valence", "arousal")
EXPRESSIONS7 = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
"""Expressions of the editions until 2021."""
EXPRESSIONS8 = (*EXPRESSIONS7, "Other")
AU8 = ("AU1", "AU2", "AU4", "AU6", "AU12", "AU15", "AU20", "AU25")
"""Action units of 2020."""
AU12 = ("AU1", "AU2", "AU4", "AU6", "AU7", "AU10", "AU12", "AU15", "AU23", "AU24", "AU25", "AU26")
"""Action units since 2021."""
AU_THRESHOLD = 0.5
"""A unit is active where its predicted value is above this."""
