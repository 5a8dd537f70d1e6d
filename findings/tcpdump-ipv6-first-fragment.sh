#!/usr/bin/env bash
# `tcp port 80` finds the first fragment of an IPv4 datagram, and not that of an IPv6
# one, though `tcp` finds both, and the ports are in both.
#
# tcpdump 4.99.3-1, libpcap 1.10.3-1 (Debian 12). tcp looks behind an IPv6 fragment
# header; tcp port does not, and wants the TCP header right behind the IPv6 header.
#   expression                  IPv4 first fragment   IPv6 first fragment
#   tcp                         yes                   yes
#   tcp port 80                 yes                   no
#   not tcp port 80             no                    yes
# So a capture of the rest of the traffic, `not port 22` over ssh, has fragments of it.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
# The libraries are those that tcpdump needs to start.
timeout 120 apt-get download -qq -o APT::Sandbox::User=root tcpdump=4.99.3-1 libpcap0.8=1.10.3-1 \
	libssl3 libdbus-1-3 libsystemd0 libcap2 libgcrypt20 libgpg-error0 liblzma5 libzstd1 liblz4-1
for package in *.deb; do dpkg -x "$package" root; done

tcpdump() { LD_LIBRARY_PATH=$(echo "$dir"/root/usr/lib/*-linux-gnu):$(echo "$dir"/root/lib/*-linux-gnu) "$dir/root/usr/bin/tcpdump" -Z root -n "$@"; }
fail() { echo "changed: $*" >&2; exit 1; }
bytes() { printf '%b' "$(printf '%s' "${*// /}" | sed 's/../\\x&/g')"; }
le() { printf '%02x%02x%02x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24)); }
capture() { # PACKET: a capture file of a raw IP packet in hexadecimal
	local packet=${1// /}
	bytes "d4c3b2a1 02000400 00000000 00000000 $(le 65535) $(le 101)"
	bytes "$(le 0)$(le 0)$(le $((${#packet} / 2)))$(le $((${#packet} / 2)))$packet"
}

tcp='00501388 00000000 00000000 50100200 00000000 00000000' # from port 80 to 5000, 4 bytes of data
capture "4500002c 00012000 40060000 c0000201 c0000202 $tcp" >ip4.pcap
capture "60000000 00202c40 20010db8000000000000000000000001 20010db8000000000000000000000002 06000001 00000001 $tcp" >ip6.pcap

tcpdump --version 2>&1 | head -n 2
finds() { # EXPRESSION WANT4 WANT6: with and without the optimizer
	local optimizer found4 found6
	for optimizer in '' -O; do
		found4=$(tcpdump $optimizer -r ip4.pcap "$1" 2>/dev/null | wc -l)
		found6=$(tcpdump $optimizer -r ip6.pcap "$1" 2>/dev/null | wc -l)
		echo "tcpdump $optimizer $1: IPv4 $found4, IPv6 $found6"
		[[ $found4$found6 == "$2$3" ]] || fail "want IPv4 $2, IPv6 $3"
	done
}
finds tcp 1 1
finds 'tcp port 80' 1 0
finds 'not tcp port 80' 0 1
echo "the port of an IPv6 first fragment is not seen"
