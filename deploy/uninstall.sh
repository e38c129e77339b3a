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
  systemctl list-units --all --plain --no-legend 'gatehouse-*' 2>/dev/null | awk '{ print $1 }'
}

stop_all() {
  # Sockets first, or a connection would start a service again. Every stop drains, a second TERM ends the drain.
  for unit in $(loaded_units | grep '\.socket$' || true); do step systemctl disable --now "$unit" || true; done
  services=$(loaded_units | grep '^gatehouse-\(dispatcher\|instance\).*\.service$' || true)
  for unit in $services; do step systemctl disable "$unit" || true; done
  # shellcheck disable=SC2086 # a list of units
  [ -z "$services" ] || step systemctl stop --no-block $services
  for unit in $services; do
    step systemctl kill --kill-whom=main --signal=TERM "$unit" || true
    step systemctl stop "$unit"
    # The second TERM made it fail; what is about to be gone need not be remembered as failed.
    step systemctl reset-failed "$unit" || true
  done
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
step rm -f /etc/systemd/system/gatehouse-dispatcher.socket /etc/systemd/system/gatehouse-dispatcher@.service \
  /etc/systemd/system/gatehouse-instance@.socket /etc/systemd/system/gatehouse-instance@.service \
  /etc/systemd/system/gatehouse-instance-b@.service /etc/systemd/system/gatehouse-shutdown.service \
  /etc/sysusers.d/gatehouse.conf /etc/tmpfiles.d/gatehouse.conf /usr/local/bin/gatehouse
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
