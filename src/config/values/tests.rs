use super::*;

const DAY: u64 = 86_400;

#[test]
fn durations() {
    let any = |text| duration(text, Duration::from_mins(1), Duration::from_hours(3660 * 24)).map(|d| d.as_secs());
    for (text, seconds) in [
        ("35d", 35 * DAY),
        ("6w", 42 * DAY),
        ("1y", 366 * DAY),
        ("10y", 3660 * DAY),
        ("1d 12h", DAY * 3 / 2),
        ("1m", 60),
        ("90 minutes", 5400),
        ("P7D", 7 * DAY),
    ] {
        assert_eq!(any(text), Ok(seconds), "{text}");
    }
    for text in ["", "35", "35x", "59s", "0d", "11y", "35d ago", "-35d", "1.5d", "1h 1ms", "9999999999h", "d", "35 d d"]
    {
        assert!(any(text).is_err(), "{text}: {:?}", any(text));
    }
}

#[test]
fn sizes_and_numbers() {
    let any = |text| size(text, 1, 1 << 40);
    for (text, bytes) in
        [("32MiB", 32 << 20), ("8 MiB", 8 << 20), ("1GiB", 1 << 30), ("1MB", 1_000_000), ("4096", 4096)]
    {
        assert_eq!(any(text), Ok(bytes), "{text}");
    }
    for text in ["", "MiB", "0", "-1MiB", "2TiB", "32 parsecs", "99999999999999999999GiB"] {
        assert!(any(text).is_err(), "{text}: {:?}", any(text));
    }
    assert_eq!(number("3", 1, 64), Ok(3));
    for text in ["0", "65", "-1", "3.0", "three", "18446744073709551616"] {
        assert!(number(text, 1, 64).is_err(), "{text}");
    }
}

#[test]
fn repositories() {
    let url = |bucket: &str, prefix: &str| Ok(RepositoryUrl { bucket: bucket.into(), prefix: prefix.into() });
    for (text, expected) in [
        ("s3://backups", url("backups", "")),
        ("s3://backups/", url("backups", "")),
        ("s3://b.example-1/pg/prod", url("b.example-1", "pg/prod")),
        ("s3://backups/pg//", url("backups", "pg")),
    ] {
        assert_eq!(repository(text), expected, "{text}");
    }
    for text in [
        "backups",
        "s3://",
        "s3://ab",
        "s3://UPPER",
        "s3://-ab",
        "s3://a..b",
        "s3://user:password@bucket",
        "s3://bucket//x",
        "s3://bucket/a/../b",
        "s3://bucket/ä",
        "s3://bucket/a b",
        "s3://bucket/a?b",
        "https://bucket",
    ] {
        assert!(repository(text).is_err(), "{text}");
    }
    assert!(!repository("s3://user:sentinel@bucket").unwrap_err().contains("sentinel"));
    assert!(repository(&format!("s3://bucket/{}", "p".repeat(257))).is_err());
}

#[test]
fn clusters() {
    for text in ["main", "a", "0", "eu-1.prod_db", &"a".repeat(63)] {
        assert_eq!(cluster(text), Ok(text.to_owned()));
    }
    for text in ["", "-a", ".a", "Main", "a/b", "a b", "repository", "identities", "keys", "ä", &"a".repeat(64)] {
        assert!(cluster(text).is_err(), "{text}");
    }
}

#[test]
fn fingerprints_have_one_spelling() {
    assert!(fingerprint("840ba9b3c5af97ff").is_ok());
    for bad in ["840BA9B3C5AF97FF", "840ba9b3c5af97f", "840ba9b3c5af97ff-", "identities/840ba9b3"] {
        assert!(fingerprint(bad).is_err(), "{bad}");
    }
}

#[test]
fn endpoints_and_recipients() {
    assert_eq!(endpoint("http://127.0.0.1:9000/"), Ok("http://127.0.0.1:9000".into()));
    for text in ["127.0.0.1:9000", "https://", "https://h/path", "ftp://h"] {
        assert!(endpoint(text).is_err(), "{text}");
    }
    let with_password = endpoint("https://user:sentinel@host").unwrap_err();
    assert!(!with_password.contains("sentinel"));
    assert!(recipient("age1qqqq").is_ok());
    let secret = recipient("AGE-SECRET-KEY-1SENTINEL").unwrap_err();
    assert!(!secret.contains("SENTINEL"));
    for text in ["", "age1 qq", "age1Q", "ssh-ed25519 AAAA"] {
        assert!(recipient(text).is_err(), "{text}");
    }
}
