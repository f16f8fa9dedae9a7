"""Downloads of models: only on request, only what the manifest says, and in words where there is no network."""

import hashlib
import http.server
import io
import socket
import threading
import zipfile
from pathlib import Path

import pytest

from wildaffect.cli import main
from wildaffect.errors import InputError
from wildaffect.fetch import fetch
from wildaffect.models import Model

CONTENT = b"\x08weights"


def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("pack/det_500m.onnx", CONTENT)
        file.writestr("w600k_mbf.onnx", CONTENT + b"2")
    return content.getvalue()


FILES = {"/weights.pth": CONTENT, "/buffalo_s.zip": archive()}


@pytest.fixture(scope="module")
def server():
    """The address of a server on this machine, and the paths that were asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200 if self.path in FILES else 404)
            self.end_headers()
            self.wfile.write(FILES.get(self.path, b"not here"))

        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", asked
        running.shutdown()


def model(url: str, content: bytes = CONTENT, **changes) -> Model:
    values = {
        "name": "weights", "file": "weights.pth", "urls": (url,), "member": None, "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(), "sha256_prefix": None, "sha256_note": "", "licence": "MIT", "citation": "",
    }  # fmt: skip
    return Model(**{**values, **changes})


def get(server, folder, **changes) -> list[Path]:
    address = changes.pop("address", f"{server[0]}/weights.pth")
    return fetch("weights", folder / "models", say=lambda line: None, manifest={"weights": model(address, **changes)})


def test_a_file_is_fetched_once_and_checked(server, tmp_path):
    (path,) = get(server, tmp_path)
    assert path == tmp_path / "models" / "weights.pth" and path.read_bytes() == CONTENT
    count = len(server[1])
    get(server, tmp_path)
    assert len(server[1]) == count


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"size": 3}, "8 bytes instead of 3"),
        ({"sha256": "0" * 64}, "instead of 000"),
        ({"sha256": None, "sha256_prefix": "0000"}, "instead of 0000"),
        ({"sha256": None}, "its SHA-256 is not known"),
        ({"urls": ()}, "no address is known"),
        ({"member": "weights.pth"}, "is no archive that holds weights.pth"),
    ],
)
def test_another_file_than_the_known_one_is_not_kept(server, tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        get(server, tmp_path, **changes)
    assert not list(tmp_path.rglob("*.pth"))


def test_without_a_network_it_says_where_the_file_belongs(server, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/weights.pth"
    for url, words in ((address, "refused"), (f"{server[0]}/none.pth", "Not Found"), ("http://", "cannot be fetched")):
        with pytest.raises(InputError, match=words) as error:
            get(server, tmp_path, address=url)
        assert f"put it at {tmp_path / 'models' / 'weights.pth'}" in str(error.value)


def test_a_pack_is_one_download(server, tmp_path):
    url = f"{server[0]}/buffalo_s.zip"
    second = CONTENT + b"2"
    manifest = {
        "a": model(url, name="a", file="det_500m.onnx", member="det_500m.onnx"),
        "b": model(url, second, name="b", file="w600k_mbf.onnx", member="w600k_mbf.onnx"),
    }
    count = len(server[1])
    paths = fetch("buffalo_s", tmp_path, say=lambda line: None, manifest=manifest)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "buffalo_s/det_500m.onnx",
        "buffalo_s/w600k_mbf.onnx",
    ]
    assert [path.read_bytes() for path in paths] == [CONTENT, second]
    assert server[1][count:] == ["/buffalo_s.zip"]


def test_the_command_knows_no_other_name(tmp_path, capsys):
    assert main(["models", "--models-dir", str(tmp_path), "--fetch", "vgish"]) == 2
    assert "did you mean 'vggish'?" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_where_and_check(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("WILDAFFECT_MODELS", raising=False)

    def where() -> str:
        assert main(["models", "--where"]) == 0
        return capsys.readouterr().out.strip()

    assert where() == str(tmp_path / "data" / "wildaffect" / "models")
    (tmp_path / "models").mkdir()
    assert where() == "models"
    monkeypatch.setenv("WILDAFFECT_MODELS", "/elsewhere")
    assert where() == "/elsewhere"
    assert main(["models", "--models-dir", "models", "--check"]) == 0
    assert capsys.readouterr().out == ""
    (tmp_path / "models" / "vggish-10086976.pth").write_bytes(b"x")
    assert main(["models", "--models-dir", "models", "--check"]) == 1
    assert "WRONG FILE" in capsys.readouterr().out
