# Shared by the scripts beside it, which source it: where things are, and how to install what is missing.
# Debian and Ubuntu install by themselves; elsewhere the scripts say what they need.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { if [ -t 1 ]; then printf '\033[1m==> %s\033[0m\n' "$*"; else printf '==> %s\n' "$*"; fi; }
die() { printf 'error: %s\n' "$1" >&2; [ $# -lt 2 ] || printf '\nhint: %s\n' "$2" >&2; exit 1; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# One "package:test" per line; the test is a shell command that succeeds when the package is not needed.
needed_packages() {
  local line
  while IFS= read -r line; do
    [ -n "$line" ] || continue
    bash -c "${line#*:}" >/dev/null 2>&1 || printf '%s ' "${line%%:*}"
  done
}

to_build() { printf '%s\n' 'build-essential:command -v cc && command -v make' 'git:command -v git'; }

to_run_postgres() {
  printf '%s\n' \
    'postgresql:ls /usr/lib/postgresql/*/bin/initdb || command -v initdb' \
    'postgresql-contrib:ls /usr/share/postgresql/*/extension/hstore.control || ls "$(pg_config --sharedir)/extension/hstore.control"'
}

to_test() {
  printf '%s\n' \
    'age:command -v age' \
    'chromium:command -v chromium || command -v chromium-browser || command -v google-chrome' \
    'curl:command -v curl' \
    'npm:command -v npm' \
    'openssl:command -v openssl' \
    'procps:command -v ps' \
    'python3:command -v python3' \
    'python3-venv:python3 -c "import venv, ensurepip"' \
    'python3-dev:python3 -c "import os, sysconfig; os.stat(sysconfig.get_path(\"include\") + \"/Python.h\")"' \
    'python3-cryptography:python3 -c "import cryptography"'
}

# Reads lines as above; installs what is missing, or says what to install.
install_missing() {
  local missing
  missing=$(needed_packages)
  missing=${missing% }
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null || die "missing: $missing (names of Debian packages)" "install their counterparts with this system's package manager"
  [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || die "missing: $missing" "as root: apt-get install $missing"
  say "installing $missing"
  as_root apt-get update -qq
  # shellcheck disable=SC2086 # a list of words
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# Puts cargo on the PATH and sees to the parts named.
need_rust() {
  # shellcheck disable=SC1091 # not ours
  command -v cargo >/dev/null || { [ -r "${CARGO_HOME:-$HOME/.cargo}/env" ] && . "${CARGO_HOME:-$HOME/.cargo}/env"; } || true
  command -v cargo >/dev/null || die "cargo is not installed" "install Rust from https://rustup.rs (README.md names the version)"
  local part
  for part in "$@"; do
    cargo "$part" --version >/dev/null 2>&1 && continue
    command -v rustup >/dev/null || die "cargo $part is not installed" "install the Rust component for $part"
    rustup component add "${part/fmt/rustfmt}"
  done
}
