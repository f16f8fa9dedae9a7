"""ELAN: a document per video, with a tier per person and kind of expression, and the values as linked time series.

Beside `<video>.eaf` lie `<trial>.csv` and `<video>_tsconf.xml`, by which ELAN draws the values of all persons. ELAN reads a time series by
an absolute address, so a folder that is moved must be exported again.
"""

import csv
import mimetypes
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import numpy as np
from pympi.Elan import Eaf

from wildaffect.corpus.label_spaces import VALENCE_AROUSAL
from wildaffect.export.results import Person, Recording, Run

COLOURS = ("0,114,178", "213,94,0", "0,158,115", "204,121,167", "230,159,0", "86,180,233", "0,0,0", "240,228,66")
PROVIDER = "mpi.eudico.client.annotator.timeseries.csv.CSVServiceProvider"


def write(run: Run, folder: Path, final: Path) -> None:
    """Write the documents, the tables and what links them."""
    for recording in run.recordings():
        document = Eaf(author="wildaffect")
        document.remove_tier("default")
        media = recording.media.absolute()
        kind = mimetypes.guess_type(media.name)[0] or "video/mp4"
        document.add_linked_file(media.as_uri(), mimetype=kind)
        linked = [f"{recording.video}_tsconf.xml"]
        for person in recording.persons:
            _add_tiers(run, document, recording, person)
            _write_series(folder / f"{person.name}.csv", run, recording, person)
            linked.append(f"{person.name}.csv")
        _write_configuration(folder / linked[0], final, run, recording)
        for name in linked:
            mime = "text/xml" if name.endswith(".xml") else "text/csv"
            document.add_secondary_linked_file((final / name).as_uri(), f"./{quote(name)}", mime)
        document.to_file(str(folder / f"{recording.video}.eaf"))


def _add_tiers(run: Run, document: Eaf, recording: Recording, person: Person) -> None:
    for kind, segments in run.segments(recording, person).items():
        tier = f"{person.name} {kind}"
        document.add_tier(tier, part=person.name)
        for segment in segments:
            begin, end = round(1000 * segment.begin), round(1000 * segment.end)
            if begin < end:  # ELAN counts in milliseconds
                document.add_annotation(tier, begin, end, segment.label)


def _write_series(path: Path, run: Run, recording: Recording, person: Person) -> None:
    """A row per frame with a value: seconds from the beginning of the file, and the values."""
    values = np.column_stack([*person.values.values()]) if person.values else np.empty((len(recording.times), 0))
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["time", *run.columns])
        for time, row in zip(recording.edges, values, strict=False):
            if not np.isnan(row).all():
                writer.writerow([f"{time:.6f}", *("" if np.isnan(value) else f"{value:.7g}" for value in row)])


def _write_configuration(path: Path, final: Path, run: Run, recording: Recording) -> None:
    """The tracks of all persons."""
    root = ET.Element("timeseries", date=datetime.now(UTC).isoformat(timespec="seconds"), version="1.0")
    for person in recording.persons:
        address = (final / f"{person.name}.csv").as_uri()
        source = ET.SubElement(
            root, "tracksource", {"sample-type": "Discontinuous Rate", "source-url": address, "time-column": "0"}
        )
        ET.SubElement(source, "property", key="provider", value=PROVIDER)
        for index, (name, (*_, column)) in enumerate(run.columns.items()):
            track = ET.SubElement(source, "track", derivative="0", name=f"{person.name} {name}")
            ET.SubElement(track, "property", key="detect-range", value="false")
            ET.SubElement(ET.SubElement(track, "sample-position"), "pos", row="0", col=str(index + 1))
            ET.SubElement(track, "description").text = "/".join(run.columns[name][:3])
            ET.SubElement(track, "units")
            ET.SubElement(track, "range", min="-1.0" if column in VALENCE_AROUSAL else "0.0", max="1.0")
            ET.SubElement(track, "color").text = COLOURS[index % len(COLOURS)]
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding="UTF-8", xml_declaration=True)
