"""The formats by name: one row each, one module each."""

from typing import NamedTuple


class Format(NamedTuple):
    """A format.

    Attributes:
        module: Module of this package whose function ``write(run, folder, final)`` fills ``folder``, which is called ``final`` later.
        about: What it is, in a few words.
        package: Distribution that it needs, of the extra `export`; empty for none.
    """

    module: str
    about: str
    package: str = ""


FORMATS = {
    "csv": Format("tables", "a CSV table per person, a row per frame"),
    "parquet": Format("tables", "one Parquet table, a row per frame"),
    "elan": Format("elan", "ELAN documents with linked time series", "pympi-ling"),
    "textgrid": Format("textgrid", "Praat TextGrids", "praatio"),
    "audformat": Format("audformat", "an audformat database", "audformat"),
    "bids": Format("bids", "a BIDS dataset of behavioural audio and video"),
    "croissant": Format("croissant", "tables described by Croissant metadata", "mlcroissant"),
    "ro-crate": Format(
        "ro_crate", "an RO-Crate of the run: inputs, hashes, versions, configuration, scores", "rocrate"
    ),
}
