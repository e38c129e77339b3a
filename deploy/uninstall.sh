#!/bin/sh
# Removes what deploy/install.sh has put in place. Shows each step before it takes it; may be run again. Your settings, secrets and state stay
# unless they are named for removal.
#
#   deploy/uninstall.sh [--dry-run] [--purge]
#
#   --dry-run   show the steps, take none
#   --purge     also /etc/gatehouse (with GATEHOUSE_SECRET_KEY: what it has sealed in Redis can't be opened any more), the state and the group
set -eu

is_dry='' is_purge=''

say() { printf '%s\n' "$*" >&2; }

# Shows a step, and takes it unless this is a dry run.
step() {
  say "+ $*"
  [ -n "$is_dry" ] || "$@"
}

# What exists of the pattern, in one line each: services that are loaded, units that are enabled.
loaded_units() {
  systemctl list-units --all --full --plain --no-legend 'gatehouse-*' 2>/dev/null | awk '{ print $1 }'
}

is_any_left() {
  systemctl list-units --full --plain --no-legend --state=active,reloading,deactivating "$@" | grep -q .
}

stop_all() {
  sockets=$(loaded_units | grep '\.socket$' || true)
  services=$(loaded_units | grep '^gatehouse-\(dispatcher\|instance\).*\.service$' || true)
  # shellcheck disable=SC2086 # lists of units, here and below
  set -- $sockets $services
  [ $# -gt 0 ] || return 0
  for unit; do step systemctl disable "$unit" || true; done
  # In one go: a socket whose stop is asked for starts nothing, but by itself its stop would wait for a dispatcher that drains, and the next one
  # would go on accepting.
  step systemctl stop --no-block "$@"
  set -- $services
  # A stop drains, which can take a day; a second TERM ends that. More than one, for two that arrive together count as one.
  tries=10
  while [ "$tries" -gt 0 ] && is_any_left "$@"; do
    sleep 1
    step systemctl kill --kill-whom=main --signal=TERM "$@" || true
    tries=$((tries - 1))
  done
  ! is_any_left "$@" || step systemctl kill --signal=KILL "$@" || true
  # Nothing of ours runs any more. On a machine under load systemd was once seen to answer this after its 90 s only.
  step timeout 30 systemctl stop $sockets "$@" || true
  # The second TERM made them fail; what is about to be gone need not be remembered as failed.
  step systemctl reset-failed "$@" 2>/dev/null || true
}

while [ $# -gt 0 ]; do
  case $1 in
    --dry-run) is_dry=yes ;;
    --purge) is_purge=yes ;;
    *) sed -n 's/^#   /  /p' "$0" >&2; exit 2 ;;
  esac
  shift
done
[ -n "$is_dry" ] || [ "$(id -u)" = 0 ] || { say "uninstall: needs root; --dry-run shows the steps without it"; exit 1; }
[ ! -d /run/systemd/system ] || stop_all
step rm -f /etc/systemd/system/gatehouse-dispatcher.socket \
  /etc/systemd/system/gatehouse-dispatcher-http.socket /etc/systemd/system/gatehouse-dispatcher@.service \
  /etc/systemd/system/gatehouse-instance@.socket /etc/systemd/system/gatehouse-instance@.service \
  /etc/systemd/system/gatehouse-instance-b@.service /etc/systemd/system/gatehouse-shutdown.service \
  /etc/sysusers.d/gatehouse.conf /etc/tmpfiles.d/gatehouse.conf /usr/local/bin/gatehouse \
  /usr/local/bin/gatehouse-units
# What `units enable` wrote; drop-ins of your own stay.
for file in /etc/systemd/system/gatehouse-instance*@*.d/50-host.conf; do
  [ ! -e "$file" ] || { step rm -f "$file" && { rmdir "${file%/*}" 2>/dev/null || true; }; }
done
step rm -rf /opt/gatehouse /run/gatehouse
[ ! -d /run/systemd/system ] || step systemctl daemon-reload
if [ -n "$is_purge" ]; then
  step rm -rf /etc/gatehouse /var/lib/gatehouse /var/lib/private/gatehouse
  ! getent group gatehouse >/dev/null || step groupdel gatehouse
else
  say "left in place: /etc/gatehouse, /var/lib/private/gatehouse, the group gatehouse (--purge removes them)"
fi
