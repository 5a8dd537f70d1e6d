#!/usr/bin/env bash
# vishvananda/netlink's AddrAdd gives an IPv4 address that comes without a broadcast
# address the last address of its network as one. ip(8) gives it none, and so does
# wg-quick, which calls it. The zero address as Broadcast stands for none.
#
# github.com/vishvananda/netlink v1.3.1, iproute2 6.1.0-3, seen on Linux 6.18. On a
# veth interface in a namespace of its own:
#   AddrAdd(&Addr{IPNet: 192.0.2.1/24})                             brd 192.0.2.255
#   AddrAdd(&Addr{IPNet: 192.0.2.65/26, Broadcast: net.IPv4zero})   no brd
#   ip address add 192.0.2.129/26 dev finding0                      no brd
# Needs ip(8), and the right to make user namespaces (or root).
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat >main.go <<'GO'
package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"

	"github.com/vishvananda/netlink"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func add(link netlink.Link, cidr string, broadcast net.IP) {
	a, err := netlink.ParseAddr(cidr)
	must(err)
	must(netlink.AddrAdd(link, &netlink.Addr{IPNet: a.IPNet, Broadcast: broadcast}))
}

func main() {
	must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "finding0"}, PeerName: "finding1"}))
	link, err := netlink.LinkByName("finding0")
	must(err)
	add(link, "192.0.2.1/24", nil)
	add(link, "192.0.2.65/26", net.IPv4zero)
	must(exec.Command("ip", "address", "add", "192.0.2.129/26", "dev", "finding0").Run())

	addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
	must(err)
	want := map[string]string{"192.0.2.1": "192.0.2.255", "192.0.2.65": "<nil>", "192.0.2.129": "<nil>"}
	for _, a := range addrs {
		fmt.Printf("%-16s brd %v\n", a.IPNet, a.Broadcast)
		if got := a.Broadcast.String(); got != want[a.IP.String()] {
			fmt.Fprintf(os.Stderr, "changed: %v has broadcast address %s\n", a.IPNet, got)
			os.Exit(1)
		}
	}
	if len(addrs) != len(want) {
		fmt.Fprintf(os.Stderr, "error: %d addresses\n", len(addrs))
		os.Exit(1)
	}
}
GO
go mod init finding 2>/dev/null
timeout 120 go get github.com/vishvananda/netlink@v1.3.1 2>/dev/null
timeout 300 go build -o broadcast .
go list -m github.com/vishvananda/netlink
ip -V
echo "Linux $(uname -r)"
timeout 60 unshare --map-root-user --net ./broadcast
