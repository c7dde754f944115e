"""Verifying a long audit log, and what a record costs in front of it.

The records are signed here, by docs/FORMAT.md (section 14) and with a writer file of the repository, and written as the store's files:
through the command line it would take a day.
"""

import ctypes
import ctypes.util
import hashlib
import json
import secrets
import time
import tomllib
from datetime import datetime, timedelta, timezone

import measure
from retention import requests, versions

ED25519 = 1087
LABEL = b"stonewal/v1/signed/audit"


class Signer:
    """Ed25519 by OpenSSL's library: a process for each signature would take an hour."""

    def __init__(self, seed):
        crypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
        for name in ("EVP_PKEY_new_raw_private_key", "EVP_MD_CTX_new"):
            getattr(crypto, name).restype = ctypes.c_void_p
        self.crypto = crypto
        self.key = ctypes.c_void_p(crypto.EVP_PKEY_new_raw_private_key(ED25519, None, seed, ctypes.c_size_t(len(seed))))
        self.public = ctypes.create_string_buffer(32)
        length = ctypes.c_size_t(32)
        assert crypto.EVP_PKEY_get_raw_public_key(self.key, self.public, ctypes.byref(length)) == 1
        self.public = self.public.raw

    def sign(self, message):
        context = ctypes.c_void_p(self.crypto.EVP_MD_CTX_new())
        signature, length = ctypes.create_string_buffer(64), ctypes.c_size_t(64)
        good = self.crypto.EVP_DigestSignInit(context, None, None, None, self.key) == 1
        good = good and self.crypto.EVP_DigestSign(context, signature, ctypes.byref(length), message, ctypes.c_size_t(len(message))) == 1
        self.crypto.EVP_MD_CTX_free(context)
        assert good
        return signature.raw

    def seal(self, payload):
        signed = payload + self.public
        return signed + self.sign(LABEL + signed)


def stamp(at):
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def write_log(ground, writer, count):
    """`count` records, two for each deed, each naming the one before it: ten seconds between deeds, up to an hour ago."""
    signer = Signer(bytes.fromhex(writer["writer_secret"]))
    bucket = ground.folder / "store/buckets/bench"
    template = next(version for version in versions(ground) if version["key"].endswith("repository/repository"))
    last = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(hours=1)
    previous, begun = [], None
    for number in range(count):
        at = last - timedelta(seconds=10 * ((count - 1 - number) // 2))
        # Two of one second, in the order of their names.
        name = f"{at.strftime('%Y%m%dT%H%M%SZ')}-{number % 2}{secrets.token_hex(8)[1:]}"
        record = {"format": 1, "repository": writer["repository"], "record": name, "at": stamp(at), "deed": "verify"}
        record["phase"] = "ended" if begun else "begun"
        record |= {"begun": begun, "outcome": {"exit": 0}} if begun else {}
        record |= {"objects": [], "who": "bench", "host": "bench", "version": "0", "previous": previous}
        record["certificate"] = writer["certificate"]
        body = signer.seal(json.dumps(record).encode())
        previous, begun = [{"record": name, "sha256": hashlib.sha256(body).hexdigest()}], None if begun else name
        file = secrets.token_hex(16)
        version = template | {"key": f"repository/audit/{name}", "id": secrets.token_hex(16), "file": file, "sequence": 10**9 + number}
        version |= {"last_modified": stamp(at), "retention": None}
        version["body"] = template["body"] | {"bytes": len(body), "etag": hashlib.md5(body).hexdigest()}
        (bucket / "data" / file).write_bytes(body)
        (bucket / "meta" / f"{file}.json").write_text(json.dumps(version))


def measure_all(ground, count, say):
    file = ground.folder / "writer.toml"
    ground.call(ground.stonewal, "keys", "writer", "--name", "bench", "--out", file, STONEWAL_AUDIT_MODE="off")
    writer = tomllib.loads(file.read_text())
    results, rows = {}, []

    def run(name, command, **env):
        before = requests(ground)
        sample = measure.run(f"{ground.stonewal} {command}", ground.env(STONEWAL_KEYS_WRITER_FILE=str(file), **env), ground)
        made = requests(ground) - before
        results[name] = [sample]
        rows.append(f"| {name} | {sample.wall:.1f} | {made} | {sample.cpu:.1f} | {sample.rss / 2**20:.0f} | {sample.store_cpu:.1f} |")
        say(f"{name}: {sample.wall:.1f} s, {made} requests, {sample.rss / 2**20:.0f} MiB")

    ground.stop_store()
    ground.start_store(log_requests=True)
    ground.sql("CREATE DATABASE audited")
    backup = "backup dump --quiet --from postgres:///audited"
    run("a small backup without records", backup, STONEWAL_AUDIT_MODE="off")
    ground.stop_store()
    say(f"writing {count} records")
    begun = time.monotonic()
    write_log(ground, writer, count)
    say(f"written in {time.monotonic() - begun:.0f} s")
    ground.start_store(log_requests=True)
    run(f"`audit verify`, {count} records", "audit verify --quiet")
    run("a small backup with its two records behind them", backup, STONEWAL_LOCK_RETAIN="1h")
    print(f"## audit: {count} records\n")
    print("| | wall s | requests | CPU s | peak RSS MiB | store CPU s |\n|---|---|---|---|---|---|")
    print("\n".join(rows) + "\n", flush=True)
    return results
