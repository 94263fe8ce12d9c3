# Overlay roots: Postfix, Exim and OpenSMTPD conflict as packages, so each gets a root that shows this machine's files below
# and keeps what apt changes above, in memory. Sourced by record.sh; `make_root` and `join_roots` are its interface.

# The servers get this environment and nothing of the caller's.
clean=(env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TZ=UTC LC_ALL=C.UTF-8)

# make_root NAME PACKAGE...: an overlay at $PCL_ROOM/NAME with the packages installed and no daemon started.
make_root() {
  local name=$1 root=$PCL_ROOM/$1 log=$PCL_ROOM/$1.log
  shift
  mkdir -p "$root" "$PCL_ROOM/.$name/upper" "$PCL_ROOM/.$name/work"
  mount -t overlay overlay -o "lowerdir=/,upperdir=$PCL_ROOM/.$name/upper,workdir=$PCL_ROOM/.$name/work" "$root"
  mount --bind /proc "$root/proc"
  mount -t tmpfs -o mode=755 run "$root/run"
  mount -t tmpfs -o mode=1777 tmp "$root/tmp"
  make_devices "$root/dev"
  mkdir -p "$root/record"
  mount --bind "$PCL_ROOM/record" "$root/record"

  printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  cp --remove-destination /etc/resolv.conf "$root/etc/resolv.conf"
  echo mx.example.com > "$root/etc/mailname" # or Debian's scripts write this machine's name into the configuration
  if ! DEBIAN_FRONTEND=noninteractive chroot "$root" /bin/bash -ec '
      export PATH=/usr/sbin:/usr/bin:/sbin:/bin
      apt-get -qq install -y --no-install-recommends "$@" ||
        { apt-get -qq update; apt-get -qq install -y --no-install-recommends "$@"; }
      apt-get clean' install "$@" > "$log" 2>&1 < /dev/null; then
    echo "record.sh: apt could not install $* for the root '$name':" >&2
    tail -20 "$log" >&2
    return 1
  fi

  # From here on no name is looked up outside: the namespaces have no resolver to ask.
  : > "$root/etc/resolv.conf"
  sed -i 's/^hosts:.*/hosts: files/' "$root/etc/nsswitch.conf" 2>/dev/null || true
  cat > "$root/etc/hosts" <<'HOSTS'
127.0.0.1 localhost
10.25.0.2 client.example.org
10.25.0.10 mx.example.com
10.25.0.20 exim.example.net
10.25.0.30 opensmtpd.example.test
10.25.0.40 lmtp.example.com
10.25.0.53 ns.example.com
HOSTS
  getent_mail_user "$root"
}

# join_roots: the main root, in which the driver runs, sees the other two as /roots/NAME.
join_roots() {
  local name
  for name in exim opensmtpd; do
    mkdir -p "$PCL_ROOM/main/roots/$name"
    mount --rbind "$PCL_ROOM/$name" "$PCL_ROOM/main/roots/$name"
  done
}

# A user that owns the mailboxes, with the same number in every root.
getent_mail_user() {
  grep -q '^pclmail:' "$1/etc/passwd" && return
  echo 'pclmail:x:45025:45025::/record/mail:/usr/sbin/nologin' >> "$1/etc/passwd"
  echo 'pclmail:x:45025:' >> "$1/etc/group"
  echo 'pclmail:*:19000:0:99999:7:::' >> "$1/etc/shadow"
}

# Only harmless devices: with the machine's whole /dev the servers would find its syslog socket and write to it.
make_devices() {
  local device
  mount -t tmpfs -o mode=755 dev "$1"
  for device in null zero full random urandom tty; do
    : > "$1/$device"
    mount --bind "/dev/$device" "$1/$device"
  done
  ln -s /proc/self/fd "$1/fd"
  mkdir -p "$1/shm"
  mount -t tmpfs -o mode=1777 shm "$1/shm"
}
