#!/bin/bash
# Records the captures of this folder again, from real servers and clients.
#
#   pcaps/record.sh             all of them (about two minutes), expect.json and the table in README.md
#   pcaps/record.sh NAME...     only these cases, for instance `postfix-plain dns-tcp`, and the demo made of them
#
# Needs Debian 12, root, apt with a mirror in reach, and 2 GB of memory. It changes nothing on the machine but the files of this folder: packages are
# installed into overlays that lie in memory, everything runs in mount, process, host name and network namespaces of its own, and all
# of it ends with the script, however the script ends. Addresses are private, names are those of RFC 2606, and no namespace has a
# route to the outside.
set -eu -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
limit=420 # seconds, for all of it

if [ "${PCL_STAGE:-outside}" = outside ]; then
  [ "$(id -u)" = 0 ] || { echo "record.sh: run it as root: it makes namespaces and overlays" >&2; exit 2; }
  PCL_ROOM=$(mktemp -d)
  trap 'rmdir "$PCL_ROOM" 2>/dev/null || true' EXIT
  export PCL_ROOM PCL_NAME=pcl-$$ PCL_STAGE=inside
  # --kill-child and the process namespace: when this process or `timeout` dies, so does every server, and with the last of them go mounts and links.
  timeout --foreground --kill-after=5 "$limit" \
    unshare --mount --uts --ipc --pid --fork --kill-child --mount-proc bash "$here/record.sh" "$@"
  exit
fi

# shellcheck source=record/roots.sh
. "$here/record/roots.sh"
# shellcheck source=record/network.sh
. "$here/record/network.sh"
# shellcheck source=record/servers.sh
. "$here/record/servers.sh"

step() { echo "record.sh: $*" >&2; }

mount -t tmpfs -o size=2g portcullis "$PCL_ROOM"
mkdir -p "$PCL_ROOM/record/out" "$PCL_ROOM/record/mail"
chmod 755 "$PCL_ROOM" "$PCL_ROOM/record" # servers that drop their privileges have to reach their mailboxes

step "installing servers and clients into overlays in memory"
make_root main postfix libsasl2-modules dovecot-core dovecot-lmtpd bind9 bind9-dnsutils swaks libio-socket-ssl-perl \
  libauthen-sasl-perl curl tcpdump tshark ethtool iproute2 openssl python3
make_root exim exim4-daemon-heavy
make_root opensmtpd opensmtpd
join_roots

step "linking the namespaces $PCL_NAME-client and $PCL_NAME-server"
make_network
step "starting the servers"
start_servers

step "recording"
cp "$here"/record/*.py "$PCL_ROOM/record/"
cp "$here"/*.pcap "$here/expect.json" "$here/README.md" "$PCL_ROOM/record/out/" 2>/dev/null || true
in_root main client timeout 200 python3 -B /record/cases.py "$@"
in_root main client timeout 60 python3 -B /record/check.py
cp "$PCL_ROOM"/record/out/*.pcap "$PCL_ROOM"/record/out/{expect.json,README.md} "$here/"
step "done: $(ls "$here"/*.pcap | wc -l) captures, $(du -ch "$here"/*.pcap | tail -1 | cut -f1)"
