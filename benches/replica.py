"""`replica copy` against `aws s3 sync`: the objects of a repository into another bucket.

sync knows one endpoint, so between two providers it goes over a disk, down and up again; locks, order and a check of digests are not its
business.
"""

import shutil

import measure

SECTION = '[replica.far]\nrepository = "s3://far-{number}/repository"\nendpoint = "{endpoint}"\nregion = "us-east-1"\n'


def make_backups(ground, gib):
    """A repository with so much in it, in chunks of the usual size; its bytes."""
    rows = int(gib * 2**30 / 3000)
    ground.sql("CREATE DATABASE noise")
    body = "(SELECT string_agg(md5(n::text || '-' || i::text), '') FROM generate_series(1, 90) i)"
    ground.sql(f"CREATE TABLE noise AS SELECT n, {body} AS body FROM generate_series(1, {rows}) n", "noise")
    ground.call(ground.stonewal, "backup", "dump", "--quiet", "--codec", "none", "--from", "dbname=noise", STONEWAL_LOCK_RETAIN="1h")
    objects = ground.call(ground.aws, "s3", "ls", "--recursive", "--summarize", "s3://bench/repository/")
    return int(next(line.split(":")[1] for line in objects.splitlines() if "Total Size" in line))


def cases(ground):
    """Every round has buckets and folders of its own: what is there already is not copied."""
    rounds = {"copy": 0, "sync": 0}
    endpoint = f"http://127.0.0.1:{ground.store_port}"

    def copy():
        rounds["copy"] += 1
        number = rounds["copy"]
        ground.call(
            ground.aws, "s3api", "create-bucket", "--bucket", f"far-{number}", "--object-lock-enabled-for-bucket"
        )
        config = ground.folder / f"replica-{number}.toml"
        config.write_text(SECTION.format(number=number, endpoint=endpoint))
        env = ground.env(STONEWAL_CONFIG=str(config))
        return measure.run(f"{ground.stonewal} replica copy far --quiet", env, ground)

    def sync():
        rounds["sync"] += 1
        folder = ground.folder / "sync"
        shutil.rmtree(folder, ignore_errors=True)
        down = f"{ground.aws} s3 sync --quiet s3://bench/repository/ {folder}"
        up = f"{ground.aws} s3 sync --quiet {folder} s3://scripts/sync-{rounds['sync']}/"
        return measure.run(f"{down} && {up}", ground.env(), ground)

    return {"aws s3 sync, twice": sync, "replica copy": copy}


def measure_all(ground, gib, rounds, say):
    size = make_backups(ground, gib)
    chosen = cases(ground)
    samples = measure.interleave(chosen, rounds, say)
    print(f"## replica: {size / 1e6:.0f} MB, medians of {rounds} interleaved rounds, ratios within each round (lowest–highest)\n")
    print(f"{measure.table(samples, base='aws s3 sync, twice', gib=size / 2**30)}\n", flush=True)
    for name, mine in samples.items():
        rates = sorted(size / 1e6 / sample.wall for sample in mine)
        print(f"{name}: {rates[len(rates) // 2]:.0f} MB/s")
    print(flush=True)
    return samples
