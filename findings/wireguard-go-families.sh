#!/usr/bin/env bash
# wireguard-go's UDP socket sends a datagram for an IPv6 endpoint to another address,
# if the message that it takes from its pool was last used for an IPv4 endpoint: of
# the address it then has the first 4 of 16 bytes. Send returns no error.
#
# golang.zx2c4.com/wireguard v0.0.0-20260522210424-ecfc5a8d5446, seen on Linux 6.18.
# conn.NewStdNetBind, one datagram to 10.0.0.1 and then one to fd00::1:1:1:1, both on
# "lo", round and round: those to IPv4 arrive, and those to IPv6 do not; a socket on
# fd00:: gets them. With IPv6 endpoints alone all arrive.
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

	"golang.zx2c4.com/wireguard/conn"
)

func check(ok bool, format string, args ...any) {
	if !ok {
		fmt.Fprintf(os.Stderr, "changed: "+format+"\n", args...)
		os.Exit(1)
	}
}

// listen counts what arrives at an address.
func listen(addr string, got chan<- string) string {
	c, err := net.ListenPacket("udp", net.JoinHostPort(addr, "5000"))
	check(err == nil, "listen: %v", err)
	go func() {
		for {
			if _, _, err := c.ReadFrom(make([]byte, 16)); err != nil {
				return
			}
			got <- addr
		}
	}()
	return c.LocalAddr().String()
}

func main() {
	const rounds = 20
	got := make(chan string, 10*rounds)
	v4, v6 := listen("10.0.0.1", got), listen("fd00::1:1:1:1", got)
	listen("fd00::", got)
	for _, to := range [][]string{{v6}, {v4, v6}} {
		b := conn.NewStdNetBind()
		_, _, err := b.Open(0)
		check(err == nil, "open: %v", err)
		for range rounds {
			for _, at := range to {
				ep, err := b.ParseEndpoint(at)
				check(err == nil, "parse: %v", err)
				err = b.Send([][]byte{[]byte("hello")}, ep)
				check(err == nil, "send: %v", err)
			}
		}
		time.Sleep(200 * time.Millisecond)
		b.Close()
		count := map[string]int{}
		for len(got) > 0 {
			count[<-got]++
		}
		fmt.Printf("%d to each of %v: 10.0.0.1 got %d, fd00::1:1:1:1 %d, fd00:: %d\n", rounds, to, count["10.0.0.1"], count["fd00::1:1:1:1"], count["fd00::"])
		if len(to) == 1 {
			check(count["fd00::1:1:1:1"] == rounds, "IPv6 alone loses some")
		} else {
			check(count["10.0.0.1"] == rounds && count["fd00::1:1:1:1"] < rounds && count["fd00::"] > 0, "IPv6 after IPv4 arrives")
		}
	}
}
GO
go mod init finding 2>/dev/null
timeout 120 go get golang.zx2c4.com/wireguard@v0.0.0-20260522210424-ecfc5a8d5446 2>/dev/null
timeout 300 go build -o families .
go list -m golang.zx2c4.com/wireguard
echo "Linux $(uname -r)"
timeout 60 unshare --map-root-user --net sh -c '
	ip link set lo up
	ip addr add 10.0.0.1/32 dev lo
	ip addr add fd00::1:1:1:1/128 dev lo nodad
	ip addr add fd00::/128 dev lo nodad
	./families'
