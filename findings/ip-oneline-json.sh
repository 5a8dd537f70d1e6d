#!/usr/bin/env bash
# ip -o -j addr is another document than ip -j addr: interfaces have no names.
#
# iproute2 6.1.0-3 (Debian 12). -o is "one line per record" and JSON has no lines
# to speak of, so one expects it to be ignored beside -j. Instead every interface
# loses ifname, ifindex, flags, mtu and operstate; each of its addresses gets
# "dev" and "index", which ip -j addr has nowhere; and an interface without an
# address is {"addr_info":[]}, of which nothing tells the name. Status 0.
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

ip -V
ip link set lo up
ip link add left type veth peer name right
ip addr add 192.0.2.1/24 dev left

plain=$(ip -j addr show left)
oneline=$(ip -o -j addr show left)
bare=$(ip -o -j addr show right)
echo "ip -j addr show left:     $plain"
echo "ip -o -j addr show left:  $oneline"
echo "ip -o -j addr show right: $bare"

for key in ifname ifindex flags mtu operstate; do
	[[ $plain == *"\"$key\""* ]] || fail "ip -j has no $key"
	[[ $oneline != *"\"$key\""* ]] || fail "ip -o -j has $key"
done
for key in dev index; do
	[[ $plain != *"\"$key\""* ]] || fail "ip -j has $key"
	[[ $oneline == *"\"$key\""* ]] || fail "ip -o -j has no $key"
done
[[ $bare == '[{"addr_info":[]}]' ]] || fail "an interface without an address is $bare"
echo "with -o no interface has a name, and its addresses have other keys"
