"""What is compared: the same database, backed up and restored in every way. The first case is the base of the ratios."""

import itertools
import json

import measure

PASSPHRASE = "-pass env:BACKUP_PASSPHRASE"
SEAL = f"openssl enc -aes-256-cbc -salt -pbkdf2 {PASSPHRASE}"
OPEN = f"openssl enc -d -aes-256-cbc -pbkdf2 {PASSPHRASE}"

counter = itertools.count()


def write_sql_file(ground):
    """The plain dump that `psql < file` reads; also warms the server's and the system's caches."""
    path = ground.folder / "app.sql"
    ground.call("pg_dump", "-d", "app", "-f", path)
    return path.stat().st_size


def dumps(ground, codecs):
    """Cases of the dump part."""

    def case(command):
        return lambda: measure.run(command(), ground.env(PGDATABASE="app"), ground)

    def to_scripts(compressor):
        return lambda: f"pg_dump | {compressor} | {SEAL} | {ground.aws} s3 cp --quiet - s3://scripts/dump-{next(counter)}"

    def stonewal(codec, more=""):
        return lambda: f"{ground.stonewal} backup dump --quiet --retain 1h --codec {codec} {more}"

    cases = {
        "pg_dump > /dev/null": case(lambda: "pg_dump > /dev/null"),
        "pg_dump, gzip -9, openssl, aws s3 cp": case(to_scripts("gzip -9")),
        "pg_dump, pigz, openssl, aws s3 cp": case(to_scripts("pigz")),
    }
    return cases | {f"stonewal backup dump, {codec}": case(stonewal(codec)) for codec in codecs} | {
        f"the same, {codecs[-1]}, rows not counted, no globals": case(stonewal(codecs[-1], "--counts off --globals off"))
    }


def restores(ground, codecs):
    """Cases of the restore part: each run into a fresh database."""
    env = ground.env(PGDATABASE="app")
    backups = {codec: make_backup(ground, codec) for codec in codecs}
    measure.run(f"pg_dump | gzip -9 | {SEAL} | {ground.aws} s3 cp --quiet - s3://scripts/restore", env, ground)

    def case(command):
        def once():
            ground.sql("DROP DATABASE IF EXISTS target WITH (FORCE)")
            ground.sql("CREATE DATABASE target TEMPLATE template0")
            ground.sql("CHECKPOINT")
            return measure.run(command, ground.env(PGDATABASE="target"), ground)

        return once

    psql = "psql -Xq -v ON_ERROR_STOP=1 -o /dev/null"
    url = f"postgres://postgres@127.0.0.1:{ground.port}/target"
    cases = {
        "psql < file.sql": case(f"{psql} < {ground.folder}/app.sql"),
        "psql --single-transaction < file.sql": case(f"{psql} --single-transaction < {ground.folder}/app.sql"),
        "aws s3 cp, openssl, gunzip, psql": case(
            f"{ground.aws} s3 cp --quiet s3://scripts/restore - | {OPEN} | gunzip | {psql} --single-transaction"
        ),
    }
    return cases | {
        f"stonewal restore dump, {codec}": case(f"{ground.stonewal} restore dump {id} --quiet --confirm --to {url}")
        for codec, id in backups.items()
    }


def make_backup(ground, codec):
    """A backup of the database; its id."""
    ground.call(ground.stonewal, "backup", "dump", "--quiet", "--retain", "1h", "--codec", codec, PGDATABASE="app")
    return newest(ground)


def newest(ground):
    """The id of the newest backup."""
    listed = json.loads(ground.call(ground.stonewal, "list", "--json"))
    return max(backup["backup"] for backup in listed["backups"])
