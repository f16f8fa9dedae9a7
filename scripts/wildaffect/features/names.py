"""What the id of a feature says about where its values come from. Lists no feature."""

IMPORT_PREFIX = "import."
"""How the ids of features begin that were computed elsewhere."""
EMBED_PREFIX = "embed."
"""How the ids of features begin that are vectors of a frozen image network."""


def of_trial(feature: str) -> bool:
    """Whether there is an array for each trial, because it shows one person, and not for each video."""
    return feature.startswith((IMPORT_PREFIX, EMBED_PREFIX))
