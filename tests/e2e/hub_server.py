#!/usr/bin/env python3
"""A small hub on loopback, for tests: repositories from a directory, faults on request, and a log of what was asked.

  hub_server.py ROOT      serves ROOT/repos/ORG/NAME/*; writes "HUB_PORT STORAGE_PORT" to ROOT/ports when ready

Large files (*.safetensors, tokenizer.model) are redirected to a second host (localhost, the hub is 127.0.0.1) and port.
ROOT/mode holds what is to go wrong, "WORD ARGUMENTS" a line, read with every request; counts start anew when the file
changes:
  token T            the hub asks for this token
  gated              403 without it
  hidden             unknown repositories are 401, as on huggingface.co
  list-status N K    the first K lists are answered with status N; list-retry-after S is sent along
  file-status N K    the same for answers of the storage host
  garbage            the list is no JSON
  commit TEXT        the list's commit
  size NAME N        the list's size of a file
  total N            the total in Content-Range
  wrong NAME K       the first K answers have a changed byte
  cut NAME N K       the first K answers end after N bytes
  throttle N         bytes a second and connection
  no-ranges          ranges are ignored
  loop               the storage host redirects to itself
ROOT/log gets a line an answer, before it is sent: HOST STATUS LENGTH RANGE AUTHORIZATION PATH ("-" for none).
"""
import hashlib
import http.server
import json
import os
import re
import sys
import threading
import time
import urllib.parse

root = sys.argv[1]
lock = threading.Lock()
counts = {}
counted_mode = None
hashes = {}
ports = {}


def read_mode():
    """What is to go wrong: word -> list of argument lists."""
    global counted_mode
    mode = {}
    try:
        with open(os.path.join(root, "mode"), encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        text = ""
    with lock:
        if text != counted_mode:
            counted_mode = text
            counts.clear()
    for line in text.splitlines():
        words = line.split()
        if words:
            mode.setdefault(words[0], []).append(words[1:])
    return mode


def first_times(what, most):
    """True the first `most` times it is asked."""
    with lock:
        counts[what] = counts.get(what, 0) + 1
        return counts[what] <= int(most)


def is_large(name):
    return name.endswith(".safetensors") or name == "tokenizer.model"


def hash_of(path):
    key = (path, os.stat(path).st_mtime_ns)
    with lock:
        if key in hashes:
            return hashes[key]
    with open(path, "rb") as file:
        content = file.read()
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    result = (hashlib.sha256(content).hexdigest(), blob)
    with lock:
        hashes[key] = result
    return result


def commit_of(repository, revision):
    commits = {name: hashlib.sha1(f"{repository} {name}".encode()).hexdigest() for name in ("main", "v1", "refs/pr/1")}
    if revision in commits:
        return commits[revision]
    return revision if revision in commits.values() else None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    place = "hub"

    def log_message(self, *_):
        pass

    def note(self, status, length):
        line = " ".join([self.place, str(status), str(length), self.headers.get("Range") or "-",
                         (self.headers.get("Authorization") or "-").replace(" ", "_"), self.path])
        with lock, open(os.path.join(root, "log"), "a", encoding="utf-8") as file:
            file.write(line + "\n")

    def answer(self, status, body=b"", headers=()):
        self.note(status, len(body))
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        try:
            self.get(read_mode())
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def get(self, mode):
        path = urllib.parse.unquote(self.path.split("?")[0])
        if self.place == "storage":
            return self.storage(mode, path)
        if "token" in mode and self.headers.get("Authorization") != "Bearer " + mode["token"][0][0]:
            return self.answer(401, b"no", [("X-Error-Message", "who are you")])
        if "gated" in mode:
            return self.answer(403, b"no", [("X-Error-Code", "GatedRepo")])
        listing = re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path)
        if listing:
            return self.list(mode, *listing.groups())
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/([^/]+)", path)
        if file and commit_of(file[1], file[2]) == file[2]:
            return self.resolve(mode, *file.groups())
        return self.answer(404)

    def list(self, mode, repository, revision):
        directory = os.path.join(root, "repos", repository)
        if "list-status" in mode and first_times("list", mode["list-status"][0][1]):
            headers = [("Retry-After", words[0]) for words in mode.get("list-retry-after", [])]
            return self.answer(int(mode["list-status"][0][0]), b"", headers)
        if not os.path.isdir(directory):
            return self.answer(401 if "hidden" in mode else 404, b"no", [("X-Error-Code", "RepoNotFound")])
        commit = commit_of(repository, revision)
        if commit is None:
            return self.answer(404, b"no", [("X-Error-Code", "RevisionNotFound")])
        if "garbage" in mode:
            return self.answer(200, b"<html>this is no list</html>")
        siblings = []
        for name in sorted(os.listdir(directory)):
            path = os.path.join(directory, name)
            sha256, blob = hash_of(path)
            entry = {"rfilename": name, "size": os.path.getsize(path), "blobId": blob}
            if is_large(name):
                entry["lfs"] = {"sha256": sha256, "size": entry["size"], "pointerSize": 134}
            for words in mode.get("size", []):
                if words[0] == name:
                    entry["size"] = int(words[1])
            siblings.append(entry)
        siblings.append({"rfilename": "original/consolidated.00.pth", "size": 1, "blobId": "0" * 40})
        document = {"sha": mode["commit"][0][0] if "commit" in mode else commit, "siblings": siblings}
        return self.answer(200, json.dumps(document).encode(), [("Content-Type", "application/json")])

    def resolve(self, mode, repository, commit, name):
        path = os.path.join(root, "repos", repository, name)
        if not os.path.isfile(path):
            return self.answer(404, b"no", [("X-Error-Code", "EntryNotFound")])
        sha256, blob = hash_of(path)
        headers = [("X-Repo-Commit", commit), ("X-Linked-Size", str(os.path.getsize(path)))]
        if not is_large(name):
            return self.send_file(mode, path, headers + [("ETag", f'"{blob}"')])
        target = f"http://localhost:{ports['storage']}/{repository}/{name}?signature=secret"
        return self.answer(302, b"elsewhere", headers + [("X-Linked-Etag", f'"{sha256}"'), ("Location", target)])

    def storage(self, mode, path):
        if "loop" in mode:
            return self.answer(302, b"", [("Location", self.path)])
        if "file-status" in mode and first_times("file", mode["file-status"][0][1]):
            return self.answer(int(mode["file-status"][0][0]))
        return self.send_file(mode, os.path.join(root, "repos", path.lstrip("/")), [])

    def send_file(self, mode, path, headers):
        name = os.path.basename(path)
        size = os.path.getsize(path)
        begin, end, status = 0, size, 200
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        if asked and "no-ranges" not in mode:
            begin, end, status = int(asked[1]), min(size, int(asked[2]) + 1), 206
            if begin >= size:
                return self.answer(416)
        cut = next((int(words[1]) for words in mode.get("cut", []) if words[0] == name and first_times("cut", words[2])), None)
        wrong = any(words[0] == name and first_times("wrong", words[1]) for words in mode.get("wrong", []))
        self.note(status, end - begin)
        self.send_response(status)
        for header in headers:
            self.send_header(*header)
        if status == 206:
            total = mode["total"][0][0] if "total" in mode else size
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{total}")
        self.send_header("Content-Length", str(end - begin))
        self.end_headers()
        self.send_body(mode, path, begin, end, cut, wrong)

    def send_body(self, mode, path, begin, end, cut, wrong):
        rate = int(mode["throttle"][0][0]) if "throttle" in mode else 0
        piece = min(1 << 16, max(1024, rate // 20)) if rate else 1 << 18
        sent = 0
        with open(path, "rb") as file:
            file.seek(begin)
            while begin + sent < end:
                data = file.read(min(piece, end - begin - sent))
                if cut is not None and sent + len(data) > cut:
                    self.wfile.write(data[:cut - sent])
                    self.close_connection = True
                    return
                if wrong and sent == 0:
                    data = bytes([data[0] ^ 1]) + data[1:]
                self.wfile.write(data)
                sent += len(data)
                if rate:
                    time.sleep(len(data) / rate)


class StorageHandler(Handler):
    place = "storage"


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


def main():
    hub = Server(("127.0.0.1", 0), Handler)
    storage = Server(("127.0.0.1", 0), StorageHandler)
    ports["hub"], ports["storage"] = hub.server_address[1], storage.server_address[1]
    threading.Thread(target=storage.serve_forever, daemon=True).start()
    ready = os.path.join(root, "ports")
    with open(ready + ".new", "w", encoding="utf-8") as file:
        file.write(f"{ports['hub']} {ports['storage']}\n")
    os.rename(ready + ".new", ready)
    hub.serve_forever()


main()
