#!/usr/bin/env bash
# wireguard-go's UDP socket has "sticky sockets": what it sends to an endpoint leaves from
# the address that the endpoint's last datagram came to. Where the kernel offers UDP_GRO,
# which it has since Linux 5.0, it forgets that address: of the messages that it takes
# apart, length and sender are passed on, and the control message is not. The kernel then
# chooses a source, and a peer behind a firewall or NAT does not hear the reply.
#
# golang.zx2c4.com/wireguard v0.0.0-20260522210424-ecfc5a8d5446, seen on Linux 6.18.
# conn.NewStdNetBind on a host with 192.0.2.1 and 192.0.2.2; a socket bound to 192.0.2.1
# sends it a datagram to 192.0.2.2: the endpoint's SrcIP is the zero Addr, and the reply
# comes from 192.0.2.1.
# Needs the right to make user namespaces (or root).
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
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

func check(ok bool, format string, args ...any) {
	if !ok {
		fmt.Fprintf(os.Stderr, "changed: "+format+"\n", args...)
		os.Exit(1)
	}
}

// hasGRO reports whether the kernel has UDP_GRO.
func hasGRO() (has bool) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	check(err == nil, "listen: %v", err)
	defer c.Close()
	raw, _ := c.(*net.UDPConn).SyscallConn()
	raw.Control(func(fd uintptr) {
		has = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1) == nil
	})
	return has
}

func main() {
	check(hasGRO(), "this kernel has no UDP_GRO, and the case needs it")
	b := conn.NewStdNetBind()
	receive, port, err := b.Open(0)
	check(err == nil, "open: %v", err)
	c, err := net.ListenPacket("udp", "192.0.2.1:0")
	check(err == nil, "listen: %v", err)
	_, err = c.WriteTo([]byte("hello"), &net.UDPAddr{IP: net.IPv4(192, 0, 2, 2), Port: int(port)})
	check(err == nil, "send: %v", err)

	bufs, sizes, from := make([][]byte, b.BatchSize()), make([]int, b.BatchSize()), make([]conn.Endpoint, b.BatchSize())
	for i := range bufs {
		bufs[i] = make([]byte, 1<<16-1)
	}
	n, err := receive[0](bufs, sizes, from)
	check(err == nil && n == 1 && sizes[0] == 5, "receive: %d, %v", n, err)
	err = b.Send([][]byte{[]byte("reply")}, from[0])
	check(err == nil, "reply: %v", err)

	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 16)
	_, source, err := c.ReadFrom(buf)
	check(err == nil, "no reply: %v", err)
	fmt.Printf("sent to 192.0.2.2; the endpoint's source is %v; the reply came from %v\n", from[0].SrcIP(), source.(*net.UDPAddr).IP)
	check(!from[0].SrcIP().IsValid() && source.(*net.UDPAddr).IP.String() == "192.0.2.1", "the address is not forgotten")
}
GO
go mod init finding 2>/dev/null
timeout 120 go get golang.zx2c4.com/wireguard@v0.0.0-20260522210424-ecfc5a8d5446 golang.org/x/sys 2>/dev/null
timeout 300 go build -o source .
go list -m golang.zx2c4.com/wireguard
echo "Linux $(uname -r)"
timeout 60 unshare --map-root-user --net sh -c '
	ip link set lo up
	ip addr add 192.0.2.1/24 dev lo
	ip addr add 192.0.2.2/24 dev lo
	./source'
