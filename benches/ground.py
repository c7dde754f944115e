"""The ground to measure on: a disposable PostgreSQL, the embedded store, a repository, and data."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SETTINGS = {
    # Nothing here outlives the benchmark, and background work would only add noise.
    "fsync": "off",
    "autovacuum": "off",
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "listen_addresses": "127.0.0.1",
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def unprivileged():
    """PostgreSQL refuses to run as root: whom to run it as, if we are root."""
    if os.geteuid() != 0:
        return {}
    names = {user.pw_name: user for user in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def server_programs():
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    path = found[-1] if found else shutil.which("initdb")
    if path is None:
        sys.exit("error: PostgreSQL is not installed")
    return Path(path).parent


class Ground:
    """Servers in a temporary folder; a context manager that stops them and removes it."""

    def __init__(self, stonewal, aws, keep_in=None):
        self.stonewal, self.aws = Path(stonewal).resolve(), Path(aws).absolute()
        self.folder = Path(tempfile.mkdtemp(prefix="stonewal-bench-", dir=keep_in))
        self.folder.chmod(0o711)
        self.empty = self.folder / "empty"
        self.empty.mkdir()
        self.bin = server_programs()
        self.processes = []

    def __enter__(self):
        try:
            self.start_server()
            self.start_store()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start_server(self):
        data, as_user = self.folder / "postgres", unprivileged()
        self.data = data
        data.mkdir(mode=0o700)
        if as_user:
            os.chown(data, as_user["user"], as_user["group"])
        initdb = [self.bin / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N", "-k"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd="/", **as_user)
        self.port = free_port()
        settings = SETTINGS | {"port": str(self.port), "unix_socket_directories": str(data)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        log = open(self.folder / "postgres.log", "wb")
        server = subprocess.Popen([self.bin / "postgres", "-D", data, *options], stdout=log, stderr=log, cwd="/", **as_user)
        self.processes.append(server)
        self.server_pid = server.pid
        self.wait_for(server, self.port, log.name)
        for _ in range(100):
            if subprocess.run([self.bin / "pg_isready", "-q"], env=self.env()).returncode == 0:
                return
            time.sleep(0.1)
        sys.exit("error: PostgreSQL does not become ready")

    def start_store(self, log_requests=False):
        root, port = self.folder / "store", free_port()
        log = open(self.folder / "store.log", "wb")
        command = [self.stonewal, "store", "serve", "--root", root, "--listen", f"127.0.0.1:{port}"]
        command += ["--request-log", self.folder / "requests.jsonl"] if log_requests else []
        store = subprocess.Popen(command, stdout=log, stderr=log)
        self.processes.append(store)
        self.store_pid, self.store_port = store.pid, port
        self.wait_for(store, port, log.name)
        words = (root / "env/admin").read_text().split()
        self.credentials = dict(word.split("=", 1) for word in words if "=" in word)

    def stop_store(self):
        store = self.processes.pop()
        store.terminate()
        store.wait(60)

    def restart_store(self):
        """With an empty root: locked objects cannot be deleted, so the disk is taken from under them."""
        self.stop_store()
        shutil.rmtree(self.folder / "store")
        self.start_store()

    def wait_for(self, process, port, log):
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
            if process.poll() is not None:
                break
        sys.exit(f"error: a server does not start:\n{Path(log).read_text()}")

    def env(self, **more):
        """The environment of everything measured: the servers, and no setting from elsewhere."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        env = kept | {"HOME": str(self.empty), "TMPDIR": str(self.empty)}
        env["PATH"] = f"{self.bin}:{env.get('PATH', '/usr/bin:/bin')}"
        env |= {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "postgres"}
        env |= {"BACKUP_PASSPHRASE": "a benchmark keeps no secrets", "STONEWAL_REPOSITORY": "s3://bench/repository"}
        return env | getattr(self, "credentials", {}) | more

    def call(self, *command, **env):
        done = subprocess.run([str(word) for word in command], env=self.env(**env), capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"error: {command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def shell(self, line):
        """A pipeline; that of a failure is told."""
        self.call("bash", "-c", f"set -o pipefail; {line}")

    def sql(self, text, database="postgres"):
        return self.call("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", text).strip()

    def found_repository(self, **env):
        """A repository in a locked bucket; and a bucket without a lock for the scripts, which know nothing of locks."""
        recovery = self.folder / "recovery.txt"
        recovery.unlink(missing_ok=True)
        self.call(self.stonewal, "init", "--quiet", "--retain", "1h", "--recovery-file", recovery, **env)
        self.call(self.aws, "s3api", "create-bucket", "--bucket", "scripts")

    def make_data(self, scale, rows):
        self.sql("CREATE DATABASE app")
        self.call("pgbench", "-i", "-q", "-s", scale, "app")
        self.call("psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-v", f"rows={rows}", "-d", "app", "-f", HERE / "data.sql")
        self.sql("VACUUM ANALYZE", "app")
        return self.sql("SELECT pg_size_pretty(pg_database_size('app'))")
