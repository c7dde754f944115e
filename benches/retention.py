"""Planning, extending and expiring very many objects, and listings of a million versions.

Nothing of this is made through the store, which would take an hour: its files are written beside a real backup, and the
million is answered by a proxy that makes up the pages of one prefix.
"""

import http.client
import json
import secrets
import threading
import time
import xml.sax.saxutils
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import measure

ABANDONED = "20200101T000000Z-00000001"
OLD = "2020-01-01T00:00:00Z"
PAGE = 1000
POLICY = {"STONEWAL_RETENTION_WINDOW": "35d", "STONEWAL_LOCK_RETAIN": "1h"}


def requests(ground):
    return sum(1 for _ in open(ground.folder / "requests.jsonl", "rb"))


def versions(ground):
    """Every metadata file of the bucket, read."""
    folder = ground.folder / "store/buckets/bench/meta"
    return [json.loads(path.read_bytes()) for path in folder.iterdir()]


def plant(ground, template, keys, old):
    """Versions like `template` under other keys, as the store keeps them on its disk."""
    bucket = ground.folder / "store/buckets/bench"
    body = (bucket / "data" / template["file"]).read_bytes()
    for number, key in enumerate(keys):
        file = secrets.token_hex(16)
        version = template | {"key": key, "id": secrets.token_hex(16), "file": file, "sequence": 10**9 + number}
        if old:
            version |= {"last_modified": OLD, "retention": None}
        (bucket / "data" / file).write_bytes(body)
        (bucket / "meta" / f"{file}.json").write_text(json.dumps(version))


class Proxy:
    """Passes everything on to the store, and answers listings of all versions below `prefix` by itself: `count` chunks in `folder`."""

    def __init__(self, port, prefix, folder, count):
        proxy = self
        self.pages = 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                url = urlsplit(self.path)
                query = parse_qs(url.query, keep_blank_values=True)
                length = int(self.headers.get("content-length", 0))
                body = self.rfile.read(length)
                if "versions" in query and "delimiter" not in query and query.get("prefix", [""])[0] == prefix:
                    return self.answer(200, [("content-type", "application/xml")], proxy.page(prefix, folder, query, count))
                upstream = http.client.HTTPConnection("127.0.0.1", port)
                upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    upstream.putheader(name, value)
                upstream.endheaders(body)
                reply = upstream.getresponse()
                text = reply.read()
                headers = [(name, value) for name, value in reply.getheaders() if name.lower() not in ("content-length", "connection", "transfer-encoding")]
                self.answer(reply.status, headers, text, reply.getheader("content-length"))
                upstream.close()

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_any

            def answer(self, status, headers, body, length=None):
                self.send_response_only(status)
                if not any(name.lower() == "date" for name, _ in headers):
                    self.send_header("date", self.date_time_string())
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("content-length", length if self.command == "HEAD" and length else str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def page(self, prefix, folder, query, count):
        self.pages += 1
        marker = query.get("key-marker", [""])[0]
        start = int(marker.rsplit("/", 1)[1].split("-")[0]) + 1 if marker.startswith(folder) else 0
        end = min(start + PAGE, count)
        escaped, asked = xml.sax.saxutils.escape(folder), xml.sax.saxutils.escape(prefix)
        entries = "".join(
            f"<Version><Key>{escaped}dump/{n:09}-0123456789abcdef</Key><VersionId>{n:032x}</VersionId><IsLatest>true</IsLatest>"
            f"<LastModified>{OLD}</LastModified><ETag>&quot;0&quot;</ETag><Size>1</Size><StorageClass>STANDARD</StorageClass></Version>"
            for n in range(start, end)
        )
        more = end < count
        last = f"{escaped}dump/{end - 1:09}-0123456789abcdef"
        following = f"<NextKeyMarker>{last}</NextKeyMarker><NextVersionIdMarker>{end - 1:032x}</NextVersionIdMarker>" if more else ""
        return (
            f'<?xml version="1.0" encoding="UTF-8"?><ListVersionsResult><Name>bench</Name><Prefix>{asked}</Prefix><MaxKeys>{PAGE}</MaxKeys>'
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{following}{entries}</ListVersionsResult>"
        ).encode()


def measure_all(ground, objects, listed, say):
    """A table of seconds, requests, CPU and memory."""
    ground.sql("CREATE DATABASE retained")
    ground.call(ground.stonewal, "backup", "dump", "--quiet", "--from", "postgres:///retained", **POLICY)
    say(f"writing {objects} wraps of a kept key and {objects} chunks of an abandoned backup")
    ground.stop_store()
    found = versions(ground)
    wrap = next(version for version in found if "/keys/" in version["key"])
    folder = wrap["key"].rsplit("/", 1)[0]
    plant(ground, wrap, (f"{folder}/{secrets.token_hex(8)}.age" for _ in range(objects)), old=False)
    names = (f"repository/main/backups/{ABANDONED}/dump/{n}-{secrets.token_hex(8)}" for n in range(objects))
    plant(ground, wrap, names, old=True)
    ground.start_store(log_requests=True)
    results, rows = {}, []

    def run(name, command, **env):
        before = requests(ground)
        sample = measure.run(f"{ground.stonewal} {command}", ground.env(**POLICY, **env), ground)
        made = requests(ground) - before
        results[name] = [sample]
        rows.append(f"| {name} | {sample.wall:.1f} | {made} | {sample.cpu:.1f} | {sample.rss / 2**20:.0f} | {sample.store_cpu:.1f} |")
        say(f"{name}: {sample.wall:.1f} s, {made} requests")

    run(f"`retention plan`, {objects} objects of each kind", "retention plan --quiet")
    run(f"`retention extend` of {objects} locks", "retention extend --quiet")
    run(f"`retention apply` of {objects} versions", "retention apply --delete --quiet")
    folder = f"repository/main/backups/{ABANDONED}/"
    proxy = Proxy(ground.store_port, folder, folder, listed)
    begun = time.monotonic()
    for page in range(0, listed, PAGE):
        proxy.page("x/", "x/", {"key-marker": [f"x/dump/{page:09}-x"]}, listed)
    made_up = time.monotonic() - begun
    proxy.pages = 0
    plant_folder(ground)
    run(f"`retention plan`, a listing of {listed} versions", "retention plan --quiet", AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{proxy.port}")
    pages = proxy.pages
    proxy.server.shutdown()
    # The plan is that of a small repository now; the million is all that the one listing of everything has.
    proxy = Proxy(ground.store_port, "repository/", folder, listed)
    run(f"`cost`, a listing of {listed} versions", "cost --quiet", AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{proxy.port}")
    print("## retention\n")
    print("| | wall s | requests | CPU s | peak RSS MiB | store CPU s |\n|---|---|---|---|---|---|")
    print("\n".join(rows))
    print(f"\nThe listings had {pages} and {proxy.pages} pages, which took {made_up:.1f} s each to make up.\n", flush=True)
    proxy.server.shutdown()
    return results


def plant_folder(ground):
    """One object, so that the folder is found."""
    ground.call(ground.aws, "s3api", "put-object", "--bucket", "bench", "--key", f"repository/main/backups/{ABANDONED}/dump/0-0123456789abcdef", "--checksum-algorithm", "SHA256")
