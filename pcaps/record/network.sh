# Two network namespaces and one link between them. Sourced by record.sh; `make_network` and `in_root` are its interface.
#
#   $PCL_NAME-client  wire0  10.25.0.2 .3 .4  fd25::2   <->   wire0  10.25.0.10-.53  fd25::10 fd25::53   $PCL_NAME-server

client_addresses="10.25.0.2 10.25.0.3 10.25.0.4 fd25::2"
server_addresses="10.25.0.10 10.25.0.11 10.25.0.12 10.25.0.13 10.25.0.14 10.25.0.15 10.25.0.20 10.25.0.21 10.25.0.30 10.25.0.40 10.25.0.53 fd25::10 fd25::53"

make_network() {
  hostname mx.example.com # in the host name namespace of record.sh
  local side
  for side in client server; do
    tool ip netns add "$PCL_NAME-$side"
    tool ip -n "$PCL_NAME-$side" link set lo up
  done
  tool ip link add wire0 netns "$PCL_NAME-client" address 02:00:0a:19:00:02 type veth \
    peer name wire0 netns "$PCL_NAME-server" address 02:00:0a:19:00:10
  # shellcheck disable=SC2086
  add_addresses client $client_addresses
  # shellcheck disable=SC2086
  add_addresses server $server_addresses
  # One packet of the capture is one packet of a wire, with the checksum that a wire would carry.
  for side in client server; do
    in_root main "$side" ethtool -K wire0 tso off gso off gro off tx off rx off sg off > /dev/null
  done
}

# in_root ROOT SIDE COMMAND...: a command in an overlay root and in a network namespace, with a clean environment.
in_root() {
  local root=$PCL_ROOM/$1 namespace=$PCL_ROOM/main/run/netns/$PCL_NAME-$2
  shift 2
  nsenter --net="$namespace" "${clean[@]}" chroot "$root" "$@"
}

add_addresses() {
  local side=$1 address
  shift
  for address in "$@"; do
    case $address in
      *:*) tool ip -n "$PCL_NAME-$side" addr add "$address/64" dev wire0 nodad ;;
      *) tool ip -n "$PCL_NAME-$side" addr add "$address/24" dev wire0 ;;
    esac
  done
  tool ip -n "$PCL_NAME-$side" link set wire0 up
}

tool() { "${clean[@]}" chroot "$PCL_ROOM/main" "$@"; }
