#!/bin/sh
# Unpacks Postfix, Exim and clients of mail into a folder, from Debian's packages. Nothing is installed: the two cannot be
# installed beside each other, and servers that are installed start at once. `enter.sh` makes them usable.
# Usage: tests/mail/fetch.sh FOLDER; done once, 10 MB are downloaded. FOLDER/root holds the files then.
set -eu
folder=$1
mkdir -p "$folder"
exec 9> "$folder/lock"
flock 9
[ ! -e "$folder/complete" ] || exit 0

if ! command -v apt-get > /dev/null || ! command -v dpkg-deb > /dev/null; then
    echo "the mail servers are taken from Debian's packages, and there is no apt-get or dpkg-deb" >&2
    exit 1
fi
rm -rf "$folder/root" "$folder/packages"
mkdir -p "$folder/root" "$folder/packages/partial"
# The second call finds what depends on the other server, which conflicts with the first.
download() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends --download-only --reinstall \
        -o "Dir::Cache::archives=$folder/packages" -o APT::Sandbox::User=root "$@" > "$folder/log" 2>&1
}
all() {
    download postfix libsasl2-modules libsasl2-modules-db sasl2-bin \
        swaks libio-socket-ssl-perl libio-socket-inet6-perl libnet-ssleay-perl libauthen-sasl-perl &&
        download exim4-daemon-light exim4-base
}
if ! all; then
    # The lists of packages are missing or old.
    if ! apt-get update -q > "$folder/log" 2>&1 || ! all; then
        tail -3 "$folder/log" >&2
        exit 1
    fi
fi
for package in "$folder"/packages/*.deb; do
    dpkg-deb -x "$package" "$folder/root"
done
# Where /lib is /usr/lib, so it has to be here.
if [ -L /lib ] && [ -d "$folder/root/lib" ]; then
    cp -a "$folder/root/lib/." "$folder/root/usr/lib/"
fi
rm -rf "$folder/packages"
: > "$folder/complete"
