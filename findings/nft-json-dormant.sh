#!/usr/bin/env bash
# nft's JSON list gives the name of a table as its flags, and a ruleset that is
# listed as JSON and loaded again is no longer dormant: its chains filter.
#
# nftables 1.0.6-2+deb12u2 (Debian 12), seen on Linux 6.18.
# A table inet "asleep" with "flags dormant" and an input chain of policy drop:
#   nft -j list ruleset    "table": {..., "name": "asleep", "flags": "asleep"}
#   nft -j -f that list    status 0, nothing on stderr
#   nft list ruleset       before: "flags dormant"; after: no flags
# A packet to loopback is delivered before, and dropped after.
set -euo pipefail
cd "$(dirname "$0")"

if [[ ${1:-} != inside ]]; then
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
	(
		cd "$dir"
		timeout 120 apt-get download -qq -o APT::Sandbox::User=root nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 \
			libnftnl11=1.2.4-2 libjansson4=2.14-2 libbsd0=0.11.7-2 libmd0=1.0.4-2 libmnl0=1.0.4-3 libedit2=3.1-20221030-2 libxtables12=1.8.9-2
		for package in *.deb; do dpkg -x "$package" root; done
	)
	timeout 60 unshare --map-root-user --net bash "$PWD/${0##*/}" inside "$dir"
	exit
fi

dir=$2
nft() { LD_LIBRARY_PATH=$(echo "$dir"/root/usr/lib/*-linux-gnu) "$dir/root/usr/sbin/nft" "$@"; }
# A port without a listener refuses a connection as long as packets arrive.
delivered() {
	local said
	said=$(timeout 2 bash -c 'exec 3<>/dev/tcp/127.0.0.1/9' 2>&1) || true
	[[ $said == *refused* ]]
}
fail() { echo "changed: $*" >&2; exit 1; }

ip link set lo up
nft --version
nft 'table inet asleep { flags dormant; chain input { type filter hook input priority 0; policy drop; }; }'

[[ $(nft list ruleset) == *'flags dormant'* ]] || fail "the text list does not say dormant"
delivered || fail "a dormant table drops"
nft -j list ruleset >"$dir/list.json"
echo "JSON: $(grep -o '{"table": {[^}]*}}' "$dir/list.json")"
grep -q '"flags": "asleep"' "$dir/list.json" || fail "the flags are not the name of the table"

nft flush ruleset
said=$(nft -j -f "$dir/list.json" 2>&1) || fail "loading the list failed: $said"
[[ -z $said ]] || fail "loading the list said: $said"
loaded=$(nft list ruleset)
echo "$loaded"
[[ $loaded != *dormant* ]] || fail "the table is dormant after loading"
if delivered; then fail "the loaded table does not drop"; fi
echo "the loaded table is not dormant: it drops what it let pass before"
