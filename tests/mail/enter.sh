#!/bin/sh
# Runs a command with the unpacked packages in their places and settings of its own in /etc, seen by this command only.
# Usage, inside `ip netns exec`, which brings a mount namespace: enter.sh ROOT ETC COMMAND...
set -eu
root=$1
etc=$2
shift 2
mount -t overlay overlay -o "ro,lowerdir=$root/usr:/usr" /usr
mount -t overlay overlay -o "ro,lowerdir=$etc:$root/etc:/etc" /etc
# Programs of Perl and of mail ask for the zone, the language and the name of the user.
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C "$@"
