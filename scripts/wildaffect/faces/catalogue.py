"""Which crop templates there are and what each is made from; imports nothing heavy, so the workflow can read it.

Decoding a frame costs several times more than cutting a crop out of it, so only what needs the video's own pixels is cut
from the video. A published system that itself started from 112-pixel aligned pictures gets its crops from ours.
"""

from collections.abc import Iterable

from wildaffect.errors import InputError

# Cut from the decoded video.
CUT = ("arcface112", "tsav112", "m3t256", "cnu224")
# Resized from the crops of another template.
RESIZED = {"lfan48": "arcface112", "cnu_aligned224": "arcface112"}
# What contact sheets are made of, and how `faces.together` calls them.
SHEET_SOURCE = "arcface112"
SHEETS = "sheets"
# Made from the decoded video too, but not by where the face is: whether they need the table of bodies (wildaffect.features.scenes).
SCENES = {"ntua_frame112": False, "ntua_body112": True, "ntua_context112": True}
# What can be made from the organisers' pictures: the folder each template is read from (tsav112 also needs landmarks).
ALIGNED = "cropped_aligned"
OFFICIAL = {"arcface112": ALIGNED, "m3t256": ALIGNED, "cnu224": "cropped"}


def check_official(templates: Iterable[str]) -> None:
    """:class:`InputError` if a template cannot be made from the organisers' pictures."""
    if unfit := sorted(set(templates) - set(OFFICIAL) - set(RESIZED) - set(SCENES)):
        raise InputError(
            f"faces.source official: {', '.join(unfit)} cannot be made from the organisers' pictures, which have no "
            "landmarks. Leave out the systems that need it or use faces.source detect."
        )
