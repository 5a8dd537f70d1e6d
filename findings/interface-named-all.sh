#!/usr/bin/env bash
# Linux refuses the interface names "all" and "default" as invalid arguments, but
# not when the interface is renamed while its MTU is too small for IPv6.
#
# iproute2 6.1.0-3 (Debian 12), seen on Linux 6.18.
# These names are taken in /proc/sys/net/ipv4/conf. What one sees:
#   ip link add all type veth          RTNETLINK answers: Invalid argument
#   ip link set left name all          RTNETLINK answers: Invalid argument
#   ip link set left mtu 1279          takes IPv6 off the interface
#   ip link set left name all          status 0: only IPv6 minds a new name
# The interface "all" has no settings of its own then (rp_filter, forwarding), and
# conf/all still stands for every interface. With its MTU back it gets no IPv6.
set -euo pipefail
cd "$(dirname "$0")"

if [[ ${1:-} != inside ]]; then
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
	(
		cd "$dir"
		timeout 120 apt-get download -qq -o APT::Sandbox::User=root iproute2=6.1.0-3 libbpf1=1:1.1.2-0+deb12u1 \
			libelf1=0.188-2.1 libcap2=1:2.66-4+deb12u3+b1 libbsd0=0.11.7-2 libmnl0=1.0.4-3 libxtables12=1.8.9-2
		for package in *.deb; do dpkg -x "$package" root; done
	)
	timeout 60 unshare --map-root-user --net bash "$PWD/${0##*/}" inside "$dir"
	exit
fi

dir=$2
ip() { LD_LIBRARY_PATH=$(echo "$dir"/root/usr/lib/*-linux-gnu) "$dir/root/bin/ip" "$@"; }
fail() { echo "changed: $*" >&2; exit 1; }
refused() {
	local said
	said=$("$@" 2>&1) && fail "taken: $*"
	echo "$*: $said"
	[[ $said == 'RTNETLINK answers: Invalid argument' ]] || fail "it says: $said"
}

ip -V
echo "Linux $(uname -r)"
ip link add left type veth peer name right
ip link set right up
for name in all default; do
	refused ip link add "$name" type veth
	ip link set left mtu 1500
	refused ip link set left name "$name"
	ip link set left mtu 1279
	ip link set left name "$name" || fail "a rename with MTU 1279 is refused"
	ip -br link show dev "$name"
	own=$(find /proc/sys/net/ipv4/conf -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | xargs)
	echo "settings: $own"
	[[ $own == 'all default lo right' ]] || fail "other settings than expected"

	ip link set "$name" mtu 1500 up
	[[ ! -e /proc/net/dev_snmp6/$name ]] || fail "the interface has IPv6"
	ip link set "$name" down
	ip link set "$name" name left
	ip link set left up
	[[ -e /proc/net/dev_snmp6/left ]] || fail "IPv6 does not return with the name"
	ip link set left down
done
echo "a name that is refused to all was given by renaming at MTU 1279"
