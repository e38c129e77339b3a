#!/bin/sh
# Installs Gatehouse under systemd from this tree, or makes another installed release the current one. Shows each step before it takes it;
# may be run again at any time: what is there already is left as it is, your files in /etc/gatehouse above all.
#
#   deploy/install.sh [--dry-run] [--root DIR]              this tree becomes a release below /opt/gatehouse, and the current one
#   deploy/install.sh [--dry-run] [--root DIR] --use NAME   back (or forth) to a release that is there: ls /opt/gatehouse/releases
#
#   --dry-run    show the steps, take none
#   --root DIR   into a file system that is mounted there (an image, a container); nothing is started in any case
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
root='' is_dry='' use=''
# Programs that only build and test. They are most of the weight, and nothing that is installed calls them.
BUILD_TOOLS='*turbo* *oxlint* *oxfmt* *typescript* knip@* playwright-core@* @jest* jest* @babel*'

say() { printf '%s\n' "$*" >&2; }
fail() { say "install: $*"; exit 1; }

# Shows a step, and takes it unless this is a dry run.
step() {
  say "+ $*"
  [ -n "$is_dry" ] || "$@"
}

# The pinned Node of a tree; else one on PATH.
node_of() {
  for name in linux-x64 linux-arm64; do
    node=node_modules/node-$name/bin/node
    if "$1/$node" --version >/dev/null 2>&1; then echo "../$node"; return; fi
  done
  command -v node || fail "no Node: neither the pinned one in node_modules nor one on PATH"
}

# Named after what it holds, so that a second run finds it there.
release_name() {
  version=$(sed -n 's/^ *"version": "\(.*\)",$/\1/p' "$here/package.json" | head -n 1)
  commit=$(git -C "$here" rev-parse --short=12 HEAD 2>/dev/null) || commit=
  if [ -z "$commit" ] || [ -n "$(git -C "$here" status --porcelain 2>/dev/null)" ]; then
    commit=${commit:+$commit-}$(date -u +%Y%m%dT%H%M%SZ)
  fi
  echo "$version-$commit"
}

pack() {
  set -- --exclude=./.git --exclude=./.cache --exclude=./.turbo
  set -f
  for tool in $BUILD_TOOLS; do set -- "$@" "--exclude=./node_modules/.pnpm/$tool"; done
  set +f
  tar -C "$here" "$@" -cf - .
}

copy_tree() {
  mkdir -p "$1"
  pack | tar -C "$1" --no-same-owner -xf -
  mkdir -p "$1/bin"
  ln -sfn "$(node_of "$here")" "$1/bin/node"
  # Read by users that systemd makes up; written by nobody but root.
  chmod -R u=rwX,go=rX "$1"
}

# Whole or not at all: what is half copied has another name.
add_release() {
  if [ -e "$release" ]; then say "= $release is there"; return; fi
  for tier in dispatcher instance; do
    [ -e "$here/packages/$tier/dist/main.js" ] || fail "this tree is not built: npm run build"
  done
  step rm -rf "$release.partial"
  step copy_tree "$release.partial"
  step mv "$release.partial" "$release"
}

install_units() {
  from=$release/deploy/systemd
  [ -n "$is_dry" ] && [ ! -e "$from" ] && from=$here/deploy/systemd
  units=$root/etc/systemd/system
  step install -d -m 755 "$units" "$root/etc/sysusers.d" "$root/etc/tmpfiles.d" "$root/usr/local/bin"
  for unit in "$from"/gatehouse-*.service "$from"/gatehouse-*.socket; do
    step install -m 644 "$unit" "$units/${unit##*/}"
  done
  # The second generation of an instance is the same unit under another name.
  step install -m 644 "$from/gatehouse-instance@.service" "$units/gatehouse-instance-b@.service"
  step install -m 644 "$from/gatehouse.sysusers" "$root/etc/sysusers.d/gatehouse.conf"
  step install -m 644 "$from/gatehouse.tmpfiles" "$root/etc/tmpfiles.d/gatehouse.conf"
  step ln -sfn /opt/gatehouse/current/scripts/gatehouse "$root/usr/local/bin/gatehouse"
  step ln -sfn /opt/gatehouse/current/deploy/systemd/units "$root/usr/local/bin/gatehouse-units"
}

# An example as a file to fill in. What the unit gives by itself (hostname, secrets) stays commented: an empty line here would win over it.
write_env() {
  sed 's/^\([A-Z_]*=\)$/#\1/' "$here/deploy/env/$1.env.example" >"$2.partial"
  mv "$2.partial" "$2"
}

new_secret_key() {
  (umask 077 && head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n' >"$1")
}

write_settings() {
  etc=$root/etc/gatehouse
  step install -d -m 755 "$etc" "$etc/hosts"
  step install -d -m 700 "$etc/credentials"
  for tier in dispatcher instance; do
    if [ -e "$etc/$tier.env" ]; then say "= $etc/$tier.env is there"; else step write_env "$tier" "$etc/$tier.env"; fi
  done
  key=$etc/credentials/GATEHOUSE_SECRET_KEY
  if [ -e "$key" ]; then say "= $key is there"; else step new_secret_key "$key"; fi
}

# Hosts that were enabled when instances were still given the root key.
derive_host_keys() {
  for file in "$root"/etc/systemd/system/gatehouse-instance@*.service.d/50-host.conf; do
    [ -e "$file" ] || continue
    host=${file##*/gatehouse-instance@} host=${host%.service.d/50-host.conf}
    if [ -e "$etc/credentials/hosts/$host/GATEHOUSE_SECRET_KEY" ]; then say "= the key of $host is there"; continue; fi
    step env "CREDENTIALS_DIRECTORY=$etc/credentials" "$release/scripts/gatehouse" key derive "$host" --directory "$etc/credentials/hosts"
  done
}

make_current() {
  step ln -sfn "releases/$name" "$root/opt/gatehouse/.next"
  # One rename, so that a process that starts at this moment finds the former release or this one.
  step mv -T "$root/opt/gatehouse/.next" "$root/opt/gatehouse/current"
}

tell_systemd() {
  step systemd-sysusers ${root:+"--root=$root"} "$root/etc/sysusers.d/gatehouse.conf"
  if [ -z "$root" ] && [ -d /run/systemd/system ]; then
    step systemd-tmpfiles --create /etc/tmpfiles.d/gatehouse.conf
    step systemctl daemon-reload
  fi
  step systemctl ${root:+"--root=$root"} enable gatehouse-dispatcher.socket gatehouse-dispatcher-http.socket gatehouse-dispatcher@A.service
}

what_next() {
  cat >&2 <<END
Installed: $name. Nothing was started or restarted.
  secrets     /etc/gatehouse/credentials/NAME, one file each (REDIS_URL, ...); GATEHOUSE_SECRET_KEY: keep a copy
  first start systemctl start gatehouse-dispatcher@A.service (holds ports 443 and 80; not 80: touch /etc/gatehouse/no-http first)
  a host      gatehouse host add HOST --target URL; or by hand: docs/operations.md
  upgrade     gatehouse-units next dispatcher; gatehouse-units next instance HOST
END
}

while [ $# -gt 0 ]; do
  case $1 in
    --dry-run) is_dry=yes ;;
    --root) [ $# -gt 1 ] || fail "--root DIR"; root=${2%/}; shift ;;
    --use) [ $# -gt 1 ] || fail "--use NAME"; use=$2; shift ;;
    *) sed -n 's/^#   /  /p' "$0" >&2; exit 2 ;;
  esac
  shift
done
[ -n "$is_dry" ] || [ "$(id -u)" = 0 ] || fail "needs root; --dry-run shows the steps without it"
name=${use:-$(release_name)}
release=$root/opt/gatehouse/releases/$name
if [ -n "$use" ]; then
  [ -d "$release" ] || fail "no release $use: ls $root/opt/gatehouse/releases"
else
  add_release
fi
install_units
write_settings
derive_host_keys
make_current
tell_systemd
what_next
