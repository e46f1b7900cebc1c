"""Downloads, from a server on this machine that misbehaves on demand."""

import hashlib
import http.server
import io
import multiprocessing
import socket
import tarfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import requests
import safetensors.numpy

from common.data import cifar10, download, hymenoptera, imori, load, mnist, paired, unpaired
from common.errors import UserError
from common.run import pretrained
from tests.data.test_datasets import (
    FACADES,
    check_paired,
    hymenoptera_zip,
    idx,
    imori_files,
    joined,
    load_paired,
    paired_files,
    paired_tar,
    tar_gz,
    unpaired_zip,
)

CONTENT = np.random.default_rng(0).integers(0, 256, 300_000, np.uint8).tobytes()
CHECKSUM = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Files by path, and how each is served.

    Attributes:
        files: what there is, by path.
        breaks: by path, after how many bytes the connection breaks, one entry a request.
        drips: by path, the seconds between two bytes.
        lengths: by path, what stands in the place of the length.
        resumes: whether it knows the header Range.
        requests: the path and Range of each request so far.
        sent: bytes of files sent so far.
    """

    def __init__(self):
        self.files = {}
        self.breaks = {}
        self.statuses = {}
        self.drips = {}
        self.lengths = {}
        self.resumes = True
        self.requests = []
        self.sent = 0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.answer(self)

            def log_message(self, format, *args):
                pass

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.httpd.server_address[1]}/"
        threading.Thread(target=self.httpd.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, handler):
        path = handler.path.removeprefix("/")
        span = handler.headers.get("Range")
        self.requests.append((path, span))
        if self.statuses.get(path):
            handler.send_error(self.statuses[path].pop(0))
            return
        if path not in self.files:
            handler.send_error(404)
            return
        content = self.files[path]
        start = int(span.removeprefix("bytes=").removesuffix("-")) if span and self.resumes else 0
        if start and start >= len(content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(content)}")
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        body = content[start:]
        handler.send_header("Content-Length", self.lengths.get(path, str(len(body))))
        handler.end_headers()
        if path in self.drips:
            for place in range(len(body)):
                handler.wfile.write(body[place : place + 1])
                time.sleep(self.drips[path])
        if self.breaks.get(path):
            body = body[: self.breaks[path].pop(0)]
        self.sent += len(body)
        handler.wfile.write(body)
        handler.wfile.flush()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(download, "PAUSES", (0.0, 0.0))
    running = Server()
    yield running
    running.httpd.shutdown()
    running.httpd.server_close()


@pytest.fixture
def closed(monkeypatch):
    """The address of a port that nobody listens at."""
    monkeypatch.setenv("NO_PROXY", "*")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


def names(folder: Path):
    return sorted(path.name for path in folder.rglob("*"))


def test_plain_download(server, tmp_path):
    server.files["a"] = CONTENT
    download.fetch([server.url + "a"], tmp_path / "a", CHECKSUM)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert names(tmp_path) == ["a"]
    assert server.requests == [("a", None)]


def test_md5_is_a_checksum_too(server, tmp_path):
    server.files["a"] = CONTENT
    md5 = "md5:" + hashlib.md5(CONTENT).hexdigest()
    download.fetch([server.url + "a"], tmp_path / "a", md5)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_broken_connection_is_resumed(server, tmp_path):
    server.files["a"] = CONTENT
    server.breaks["a"] = [100_000, 100_000]
    download.fetch([server.url + "a"], tmp_path / "a", CHECKSUM)
    assert (tmp_path / "a").read_bytes() == CONTENT
    starts = [span and int(span[6:-1]) for _, span in server.requests]
    assert starts[0] is None
    assert 0 < starts[1] <= 100_000 < starts[2] <= 200_000
    assert server.sent < len(CONTENT) + 2 * download.CHUNK  # only what was in flight comes twice


def test_many_breaks_do_not_exhaust_the_attempts(server, tmp_path):
    server.files["a"] = CONTENT
    server.breaks["a"] = [50_000] * 5
    download.fetch([server.url + "a"], tmp_path / "a", CHECKSUM)
    assert len(server.requests) == 6


def test_a_connection_that_brings_nothing_is_given_up(server, tmp_path):
    server.files["a"] = CONTENT
    server.breaks["a"] = [0] * 99
    with pytest.raises(UserError, match="the connection broke"):
        download.fetch([server.url + "a"], tmp_path / "a", CHECKSUM)
    assert len(server.requests) == 1 + len(download.PAUSES)


def test_a_server_that_drips_is_given_up(server, monkeypatch, tmp_path):
    monkeypatch.setattr(download, "SLOW_SECONDS", 1.0)
    server.files |= {"a": CONTENT[:1000], "b": CONTENT}
    server.drips["a"] = 0.05
    urls = [server.url + "a", server.url + "b"]
    started = time.monotonic()
    download.fetch(urls, tmp_path / "a", CHECKSUM)
    assert time.monotonic() - started < 10
    with pytest.raises(UserError, match=r"only \d+ bytes in 1 seconds"):
        download.fetch(urls[:1], tmp_path / "c", CHECKSUM)
    kept = (tmp_path / "c.part").read_bytes()
    assert len(kept) > 5
    assert CONTENT.startswith(kept)


def test_redirects_in_a_circle(monkeypatch, tmp_path):
    def circle(*_args, **_kwargs):
        raise requests.TooManyRedirects("Exceeded 30 redirects.")

    monkeypatch.setattr(requests, "get", circle)
    with pytest.raises(UserError, match="it redirects in a circle"):
        download.fetch(["http://somewhere/a"], tmp_path / "a", CHECKSUM)


def test_a_length_that_is_no_number(server, tmp_path):
    server.files["a"] = CONTENT
    server.lengths["a"] = "many"
    download.fetch([server.url + "a"], tmp_path / "a", CHECKSUM)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_later_run_resumes(server, tmp_path):
    server.files["a"] = CONTENT
    (tmp_path / "a.part").write_bytes(CONTENT[:123_456])
    download.fetch([server.url + "a"], tmp_path / "a", CHECKSUM)
    assert server.requests == [("a", "bytes=123456-")]
    assert server.sent == len(CONTENT) - 123_456
    assert names(tmp_path) == ["a"]


def test_server_that_cannot_resume_sends_all(server, tmp_path):
    server.files["a"] = CONTENT
    server.resumes = False
    (tmp_path / "a.part").write_bytes(CONTENT[:1000])
    download.fetch([server.url + "a"], tmp_path / "a", CHECKSUM)
    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.parametrize("part", [CONTENT, CONTENT + b"more", b"x" * 1000])
def test_part_that_is_whole_or_too_long_or_wrong(server, tmp_path, part):
    server.files["a"] = CONTENT
    (tmp_path / "a.part").write_bytes(part)
    download.fetch([server.url + "a"], tmp_path / "a", CHECKSUM)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("first", [None, b"altered", CONTENT[:-1] + b"?"])
def test_second_mirror(server, tmp_path, first):
    if first is not None:
        server.files["first/a"] = first
    server.files["second/a"] = CONTENT
    urls = [server.url + "first/a", server.url + "second/a"]
    download.fetch(urls, tmp_path / "a", CHECKSUM)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert [path for path, _ in server.requests] == ["first/a", "second/a"]


def test_busy_server_is_asked_again(server, tmp_path):
    server.files["a"] = CONTENT
    server.statuses["a"] = [503, 429]
    download.fetch([server.url + "a"], tmp_path / "a", CHECKSUM)
    assert len(server.requests) == 3


def test_wrong_checksum_everywhere_leaves_nothing(server, tmp_path):
    server.files["a"] = server.files["b"] = b"altered"
    target = tmp_path / "new" / "deep" / "a"
    with (
        pytest.raises(UserError, match=r"wrong checksum.*wrong checksum"),
        download.into(target.parent),
    ):
        download.fetch([server.url + "a", server.url + "b"], target, CHECKSUM)
    assert names(tmp_path) == []


def test_compression_on_the_way_is_not_undone(server, tmp_path):
    """A server may call a .gz file's own compression the transfer's."""
    import gzip

    content = gzip.compress(CONTENT)
    server.files["a.gz"] = content
    send = http.server.BaseHTTPRequestHandler.end_headers

    def end_headers(handler):
        handler.send_header("Content-Encoding", "gzip")
        send(handler)

    server.httpd.RequestHandlerClass.end_headers = end_headers
    checksum = "sha256:" + hashlib.sha256(content).hexdigest()
    download.fetch([server.url + "a.gz"], tmp_path / "a.gz", checksum)
    assert (tmp_path / "a.gz").read_bytes() == content


def test_no_network_names_file_reason_and_place(closed, tmp_path):
    target = tmp_path / "data" / "file.bin"
    start = time.monotonic()
    with pytest.raises(UserError) as raised, download.into(target.parent):
        download.fetch([closed + "file.bin", closed + "other"], target, CHECKSUM)
    message = str(raised.value)
    assert time.monotonic() - start < 5
    assert "connection refused" in message
    assert closed + "file.bin" in message
    assert str(target) in message
    assert "\n" not in message
    assert names(tmp_path) == []


def test_unknown_host_fails_soon(monkeypatch, tmp_path):
    monkeypatch.setattr(download, "ANSWER_SECONDS", 2.0)
    start = time.monotonic()
    with pytest.raises(UserError, match=r"nowhere\.invalid: (host name not found|no answer)"):
        download.fetch(["http://nowhere.invalid/a"], tmp_path / "a", CHECKSUM)
    assert time.monotonic() - start < 4


def test_silent_server_fails_soon(monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(download, "ANSWER_SECONDS", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a"
        start = time.monotonic()
        with pytest.raises(UserError, match=r"no answer|timed out"):
            download.fetch([url], tmp_path / "a", CHECKSUM)
        assert time.monotonic() - start < 3
    assert names(tmp_path) == []


def test_lost_network_keeps_the_part(server, monkeypatch, tmp_path):
    server.files["a"] = CONTENT
    server.breaks["a"] = [200_000] + [0] * 9
    with pytest.raises(UserError, match="the connection broke"):
        download.fetch([server.url + "a"], tmp_path / "a", CHECKSUM)
    assert names(tmp_path) == ["a.part"]
    kept = (tmp_path / "a.part").read_bytes()
    assert kept
    assert CONTENT.startswith(kept)


def test_full_disk(server, monkeypatch, tmp_path):
    server.files["a"] = CONTENT

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download.os, "replace", full)
    with pytest.raises(UserError, match=r"cannot write .*a: No space left on device"):
        download.fetch([server.url + "a"], tmp_path / "a", CHECKSUM)


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"), download.into(tmp_path / "file" / "sub"):
        pass


# Without a known checksum.


def test_what_a_user_can_compare_is_said_once(server, tmp_path, capsys):
    server.files["a"] = CONTENT
    download.fetch([server.url + "a"], tmp_path / "a", None)
    assert (tmp_path / "a").read_bytes() == CONTENT
    said = capsys.readouterr()
    digest = CHECKSUM.removeprefix("sha256:")
    assert said.err == f"a: no checksum of it is known; its SHA-256 is {digest}\n"
    assert said.out == ""
    download.fetch([server.url + "a"], tmp_path / "a", CHECKSUM)
    assert capsys.readouterr().err == ""


def test_a_later_run_resumes_without_a_checksum(server, tmp_path):
    server.files["a"] = CONTENT
    server.breaks["a"] = [0] * 3
    (tmp_path / "a.part").write_bytes(CONTENT[:123_456])
    with pytest.raises(UserError, match="the connection broke"):
        download.fetch([server.url + "a"], tmp_path / "a", None)
    assert names(tmp_path) == ["a.part"]
    download.fetch([server.url + "a"], tmp_path / "a", None)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert server.requests[-1] == ("a", "bytes=123456-")
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("part", [CONTENT, CONTENT + b"more"])
def test_part_that_is_whole_or_too_long_without_a_checksum(server, tmp_path, part):
    server.files["a"] = CONTENT
    (tmp_path / "a.part").write_bytes(part)
    download.fetch([server.url + "a"], tmp_path / "a", None)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_broken_connection_is_seen_by_the_length_alone(server, tmp_path):
    server.files["a"] = CONTENT
    server.breaks["a"] = [100_000, 50_000]
    download.fetch([server.url + "a"], tmp_path / "a", None)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_without_checksum_and_length_nothing_is_known(server, tmp_path):
    server.files["a"] = CONTENT
    server.lengths["a"] = "many"
    with pytest.raises(UserError, match="it does not state the file's length"):
        download.fetch([server.url + "a"], tmp_path / "a", None)
    assert names(tmp_path) == []


def test_content_is_judged_where_there_is_no_checksum(server, tmp_path, capsys):
    """A wrong part is begun anew, a wrong mirror given up for the next."""
    seen = []

    def find_fault(part):
        seen.append(part.read_bytes())
        return None if seen[-1] == CONTENT else "is wrong"

    server.files |= {"first": b"altered", "second": CONTENT}
    urls = [server.url + "first", server.url + "second"]
    download.fetch(urls, tmp_path / "a", None, None, find_fault)
    assert seen == [b"altered", CONTENT]
    assert capsys.readouterr().err.count("SHA-256") == 1
    (tmp_path / "a.part").write_bytes(b"x" * 1000)
    download.fetch(urls[1:], tmp_path / "a", None, None, find_fault)
    assert seen[2:] == [b"x" * 1000 + CONTENT[1000:], CONTENT]
    with pytest.raises(UserError, match=r"cannot download b \(.*: its file is wrong\); get http"):
        download.fetch(urls[:1], tmp_path / "b", None, None, find_fault)
    assert names(tmp_path) == ["a"]


def hold(folder, started, seconds):
    with download.into(folder):
        started.set()
        time.sleep(seconds)
        (folder / "done").write_text("")


def test_second_run_waits_for_the_first(tmp_path, capfd):
    pytest.importorskip("fcntl", reason="this system has no file locks of this kind")
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    first = context.Process(target=hold, args=(tmp_path, started, 0.5))
    first.start()
    assert started.wait(20)
    with download.into(tmp_path):
        assert (tmp_path / "done").exists()
    first.join()
    assert "waiting for another run" in capfd.readouterr().err


# The data sets.


def cifar10_archive(extra=None, batches=(*cifar10.TRAIN, cifar10.TEST)):
    """The official archive's layout, two records a batch."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        members = {f"{cifar10.FOLDER}/{name}": bytes(2 * cifar10.RECORD) for name in batches}
        members[f"{cifar10.FOLDER}/readme.html"] = b"<html>"
        for name, content in {**(extra or {}), **members}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture
def serve_cifar10(server, monkeypatch):
    def serve(archive):
        server.files[cifar10.ARCHIVE] = archive
        monkeypatch.setattr(cifar10, "URLS", (server.url + cifar10.ARCHIVE,))
        monkeypatch.setattr(cifar10, "SHA256", hashlib.sha256(archive).hexdigest())

    return serve


def test_cifar10_is_downloaded_once(serve_cifar10, server, tmp_path):
    serve_cifar10(cifar10_archive())
    for _ in range(2):
        dataset = load("cifar10", tmp_path / "not" / "yet")
        assert dataset.train.images.shape == (10, 32, 32, 3)
    assert len(server.requests) == 1
    folder = tmp_path / "not" / "yet" / "cifar10"
    assert names(folder) == sorted([cifar10.FOLDER, *cifar10.TRAIN, cifar10.TEST])


def test_cifar10_archive_put_there_by_hand(closed, monkeypatch, tmp_path):
    monkeypatch.setattr(cifar10, "URLS", (closed,))
    (tmp_path / cifar10.ARCHIVE).write_bytes(cifar10_archive())
    assert len(load("cifar10", tmp_path).test) == 2
    assert (tmp_path / cifar10.ARCHIVE).exists()  # not ours to remove


@pytest.mark.parametrize("name", ["../escaped", f"{cifar10.FOLDER}/../../escaped"])
def test_archive_that_leads_outside_is_refused(tmp_path, name):
    (tmp_path / "cifar10").mkdir()
    archive = tmp_path / "cifar10" / cifar10.ARCHIVE
    archive.write_bytes(cifar10_archive({name: b"!"}))
    before = names(tmp_path)
    with pytest.raises(UserError, match="refused"):
        load("cifar10", tmp_path)
    assert names(tmp_path) == before


def test_unknown_members_of_the_archive_are_left_in_it(tmp_path):
    archive = tmp_path / cifar10.ARCHIVE
    escaped = tmp_path / "escaped"
    archive.write_bytes(cifar10_archive({str(escaped): b"!", "else": b"!"}))
    load("cifar10", tmp_path)
    batches = sorted([*cifar10.TRAIN, cifar10.TEST])
    assert names(tmp_path / "cifar10") == sorted([cifar10.FOLDER, *batches])
    assert not escaped.exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda archive: archive[:-300], "damaged or cut short"),
        (lambda archive: b"no archive", "damaged or cut short"),
        (lambda archive: archive[:-8] + b"\0" * 8, "damaged or cut short"),
        (lambda archive: cifar10_archive(batches=cifar10.TRAIN), "holds no .*test_batch.bin"),
        (
            lambda archive: cifar10_archive({"bomb": bytes(31_000_000)}),
            "bomb has 31000000 bytes, expected at most 30730000",
        ),
    ],
)
def test_damaged_archive(tmp_path, damage, message):
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / cifar10.ARCHIVE).write_bytes(damage(cifar10_archive()))
    with pytest.raises(UserError, match=message):
        load("cifar10", tmp_path)
    assert names(tmp_path / "cifar10") == [cifar10.ARCHIVE]


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist"])
def test_mnist_downloads_what_is_missing(server, monkeypatch, tmp_path, name):
    contents = []
    for count in (5, 3):
        contents.append(idx(np.zeros((count, 28, 28), np.uint8)))
        contents.append(idx(np.arange(count, dtype=np.uint8)))
    md5s = tuple(hashlib.md5(content).hexdigest() for content in contents)
    server.files |= {"good/" + n: c for n, c in zip(mnist.FILES, contents, strict=True)}
    source = mnist.Source((server.url + "bad/", server.url + "good/"), md5s, tuple("0123456789"))
    monkeypatch.setitem(mnist.SOURCES, name, source)
    (tmp_path / name).mkdir()
    (tmp_path / name / "train-labels-idx1-ubyte").write_bytes(contents[1])
    assert len(load(name, tmp_path).train) == 5
    asked = [path for path, _ in server.requests if path.startswith("good/")]
    assert asked == ["good/" + mnist.FILES[i] for i in (0, 2, 3)]


def test_mnist_without_network_names_all_files(closed, monkeypatch, tmp_path):
    source = mnist.Source((closed,), ("0",) * 4, tuple("0123456789"))
    monkeypatch.setitem(mnist.SOURCES, "mnist", source)
    with pytest.raises(UserError) as raised:
        load("mnist", tmp_path / "data")
    message = str(raised.value)
    assert all(name in message for name in mnist.FILES)
    assert str(tmp_path / "data" / "mnist") in message
    assert names(tmp_path) == []


def test_imori_is_downloaded_file_by_file(server, monkeypatch, tmp_path):
    files = imori_files()
    server.files |= files
    table = tmp_path / "table"
    table.write_text(
        "".join(f"{hashlib.sha256(c).hexdigest()}  {name}\n" for name, c in files.items())
    )
    monkeypatch.setattr(imori, "CHECKSUMS", table)
    monkeypatch.setattr(imori, "URL", server.url)
    dataset = load("imori", tmp_path / "data")
    assert (len(dataset.train), len(dataset.test)) == (16, 6)
    assert len(server.requests) == 44


def test_imori_without_network(closed, monkeypatch, tmp_path):
    monkeypatch.setattr(imori, "URL", closed)
    with pytest.raises(UserError) as raised:
        load("imori", tmp_path / "data")
    assert str(tmp_path / "data" / "imori" / "Dataset") in str(raised.value)
    assert imori.COMMIT in str(raised.value)
    assert names(tmp_path) == []


def test_unpaired_photos_are_downloaded_and_unpacked(server, monkeypatch, tmp_path):
    name = "apple2orange"
    content = unpaired_zip(name)
    server.files[f"good/{name}.zip"] = content
    monkeypatch.setattr(unpaired, "URLS", (server.url + "bad/", server.url + "good/"))
    monkeypatch.setitem(unpaired.SHA256, name, hashlib.sha256(content).hexdigest())
    dataset = load(name, tmp_path / "data", 16)
    assert dataset.class_names == ("apple", "orange")
    assert sorted(path.name for path in (tmp_path / "data" / name).iterdir()) == [name]
    load(name, tmp_path / "data", 16)
    assert len([path for path, _ in server.requests if path.startswith("good/")]) == 1


def test_ants_and_bees_are_downloaded_and_unpacked(server, monkeypatch, tmp_path):
    content = hymenoptera_zip()
    server.files[hymenoptera.ARCHIVE] = content
    monkeypatch.setattr(hymenoptera, "URLS", (server.url + hymenoptera.ARCHIVE,))
    with pytest.raises(UserError, match="its file has a wrong checksum"):
        load("hymenoptera", tmp_path / "data", 16)
    assert names(tmp_path) == []
    monkeypatch.setattr(hymenoptera, "SHA256", hashlib.sha256(content).hexdigest())
    assert load("hymenoptera", tmp_path / "data", 16).class_names == ("ants", "bees")
    assert [path.name for path in (tmp_path / "data" / "hymenoptera").iterdir()] == [
        "hymenoptera_data"
    ]


@pytest.fixture
def mirrors(server, monkeypatch):
    """The addresses of paired pictures are two folders of the server; few are enough."""
    monkeypatch.setattr(paired, "URLS", (server.url + "first/", server.url + "second/"))
    monkeypatch.setattr(paired, "LEAST", dict.fromkeys(paired.NAMES, 3))
    return server


def test_paired_pictures_are_downloaded_once(mirrors, tmp_path, capsys):
    """The first mirror has a page in the place of the archive."""
    content = paired_tar()
    mirrors.files |= {
        "first/facades.tar.gz": b"<html>moved</html>",
        "second/facades.tar.gz": content,
    }
    for _ in range(2):
        dataset = load_paired("facades", tmp_path / "data", "b2a")
        check_paired(dataset, "facades", (40, 50, 60), (180, 190), "b2a")
    assert [path for path, _ in mirrors.requests] == list(mirrors.files)
    assert [path.name for path in (tmp_path / "data" / "facades").iterdir()] == ["facades"]
    digest = hashlib.sha256(content).hexdigest()
    said = capsys.readouterr().err
    assert said == f"facades.tar.gz: no checksum of it is known; its SHA-256 is {digest}\n"


def test_a_broken_download_of_paired_pictures_goes_on(mirrors, tmp_path):
    content = paired_tar()
    mirrors.files["first/facades.tar.gz"] = content
    mirrors.breaks["first/facades.tar.gz"] = [400] + [0] * 9
    with pytest.raises(UserError, match="the connection broke"):
        load_paired("facades", tmp_path)
    assert names(tmp_path) == ["facades", "facades.tar.gz.part"]
    mirrors.breaks.clear()
    load_paired("facades", tmp_path)
    assert mirrors.requests[-1] == ("first/facades.tar.gz", "bytes=400-")


BAD = joined(9, (64, 64))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (paired_tar()[:-20], "damaged or cut short"),
        (paired_tar(parts={"train": (1, 2, 3)}), "holds neither test/ nor val/"),
        (paired_tar(parts={"test": (1, 2, 3)}), "holds no facades/train"),
        (paired_tar(parts={"train": (1, 2), "val": (1, 2)}), "holds 2 pictures for training, at"),
        (paired_tar(extra={"facades/val/2.jpg": BAD}), "holds val/2.jpg of 64 x 64 pixels, which"),
        (
            tar_gz(dict.fromkeys(paired_files("facades", FACADES), b"none")),
            "holds 0 pictures for training, at least 3 are expected",
        ),
    ],
    ids=["cut", "no test", "no train", "few", "square", "no pictures"],
)
def test_downloads_that_hold_no_pairs(mirrors, tmp_path, content, fault):
    mirrors.files["first/facades.tar.gz"] = content
    with pytest.raises(UserError, match=rf"its file {fault}.*HTTP status 404\); get .* put it at"):
        load_paired("facades", tmp_path / "data")
    assert names(tmp_path) == []


def test_a_full_disk_is_not_the_mirror_s_fault(mirrors, monkeypatch, tmp_path):
    """What has been downloaded stays, to be unpacked once there is room."""
    mirrors.files["first/facades.tar.gz"] = paired_tar()

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("common.data.archive.shutil.copyfileobj", full)
        with pytest.raises(UserError, match=r"cannot write .*facades: No space left on device"):
            load_paired("facades", tmp_path)
    assert names(tmp_path) == ["facades", "facades.tar.gz.part"]
    load_paired("facades", tmp_path)
    assert mirrors.sent == len(paired_tar())


def test_paired_pictures_without_network(closed, monkeypatch, tmp_path):
    monkeypatch.setattr(paired, "URLS", (closed,))
    with pytest.raises(UserError) as raised:
        load_paired("maps", tmp_path / "data")
    assert f"get {closed}maps.tar.gz by hand and put it at" in str(raised.value)
    assert names(tmp_path) == []


def test_unpaired_photos_without_network(closed, monkeypatch, tmp_path):
    monkeypatch.setattr(unpaired, "URLS", (closed,))
    with pytest.raises(UserError) as raised:
        load("monet2photo", tmp_path / "data", 16)
    assert f"get {closed}monet2photo.zip by hand and put it at" in str(raised.value)
    assert names(tmp_path) == []


def test_other_unpaired_photos_than_the_checksum_s(server, monkeypatch, tmp_path):
    server.files["horse2zebra.zip"] = unpaired_zip("horse2zebra")
    monkeypatch.setattr(unpaired, "URLS", (server.url,))
    with pytest.raises(UserError, match="its file has a wrong checksum"):
        load("horse2zebra", tmp_path / "data", 16)
    assert names(tmp_path) == []


def test_weights_of_imagenet_are_downloaded_once(server, monkeypatch, tmp_path):
    """Their own file is 47 MB; a small one of the same form stands for it."""
    arrays = dict(pretrained.load("newts", None).arrays)
    arrays["fc.weight"] = np.zeros((1000, 128), np.float32)
    content = safetensors.numpy.save(arrays)
    server.files["model.safetensors"] = content
    monkeypatch.setattr(pretrained, "URL", server.url + "model.safetensors")
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(pretrained, "CHECKSUM", f"sha256:{digest}")
    for _ in range(2):
        found = pretrained.load("imagenet", tmp_path)
        assert found.path == tmp_path / "resnet18" / "model.safetensors"
        assert "fc.weight" not in found.arrays
    assert len(server.requests) == 1


def test_other_weights_than_imagenets_are_refused(server, monkeypatch, tmp_path):
    server.files["model.safetensors"] = CONTENT
    monkeypatch.setattr(pretrained, "URL", server.url + "model.safetensors")
    with pytest.raises(UserError, match="checksum"):
        pretrained.load("imagenet", tmp_path)
    assert not (tmp_path / "resnet18" / "model.safetensors").exists()
