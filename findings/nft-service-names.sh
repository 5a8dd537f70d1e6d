#!/usr/bin/env bash
# nft -S lists a rule for port 11112 in words that nft reads as port 104, since
# Debian's /etc/services has "dicom" twice: as an alias and as a name.
#
# nftables 1.0.6-2+deb12u2 and netbase 6.4 (Debian 12).
#   /etc/services          acr-nema 104/tcp dicom        dicom 11112/tcp
#   getservbyname("dicom") acr-nema, 104: the earlier line wins, though the later
#                          one has the word as its proper name
#   getservbyport(11112)   dicom
#   nft -S list ruleset    tcp dport 11112 is listed as: tcp dport "dicom"
#   nft -f that list       status 0, and the rule is for port 104
# A list with -S is thus not to be loaded, though nft reads every word of it.
set -euo pipefail
cd "$(dirname "$0")"

if [[ ${1:-} != inside ]]; then
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
	(
		cd "$dir"
		timeout 120 apt-get download -qq -o APT::Sandbox::User=root nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 \
			libnftnl11=1.2.4-2 libjansson4=2.14-2 libbsd0=0.11.7-2 libmd0=1.0.4-2 libmnl0=1.0.4-3 libedit2=3.1-20221030-2 libxtables12=1.8.9-2 netbase=6.4
		for package in *.deb; do dpkg -x "$package" root; done
	)
	[[ -e /etc/services ]] || { echo "error: no /etc/services to put the package's over" >&2; exit 2; }
	# The mount is seen in the namespace alone.
	timeout 60 unshare --map-root-user --net --mount bash "$PWD/${0##*/}" inside "$dir"
	exit
fi

dir=$2
nft() { LD_LIBRARY_PATH=$(echo "$dir"/root/usr/lib/*-linux-gnu) "$dir/root/usr/sbin/nft" "$@"; }
fail() { echo "changed: $*" >&2; exit 1; }

mount --bind "$dir/root/etc/services" /etc/services
nft --version
grep -w dicom /etc/services
echo "getservbyname: $(getent services dicom/tcp)"
echo "getservbyport: $(getent services 11112/tcp)"
[[ $(getent services dicom/tcp | awk '{ print $2 }') == 104/tcp ]] || fail "dicom is not 104"
[[ $(getent services 11112/tcp | awk '{ print $1 }') == dicom ]] || fail "11112 is not dicom"

nft 'table inet finding { chain input { tcp dport 11112 accept; }; }'
nft -S list ruleset | tee "$dir/list"
grep -q 'tcp dport "dicom" accept' "$dir/list" || fail "11112 is not listed as dicom"
nft flush ruleset
nft -f "$dir/list" || fail "the list cannot be loaded"
loaded=$(nft list ruleset)
echo "$loaded"
[[ $loaded == *'tcp dport 104 accept'* ]] || fail "the loaded rule is not for 104"
echo "the rule for port 11112 is one for port 104 after listing with -S and loading"
