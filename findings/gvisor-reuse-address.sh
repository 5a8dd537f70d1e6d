#!/usr/bin/env bash
# In gVisor, two TCP listeners with SO_REUSEADDR have one address and port at the same
# time: both Bind and the second Listen succeed where one address is the unspecified
# one. Linux refuses the second, and so a program that wants package net's default
# (SO_REUSEADDR on each listener) has to look for the first itself.
#
# gvisor.dev/gvisor v0.0.0-20260905035102-160fafc42237, beside Linux 6.18:
#                                             gVisor         Linux
#   listen on *:80, then on its 192.0.2.1:80  both listen    address in use
#   the same without SO_REUSEADDR             in use         in use
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/link/loopback"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

var own = tcpip.AddrFrom4([4]byte{192, 0, 2, 1})

func inGVisor(reuse bool) string {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocolCUBIC},
	})
	defer s.Destroy()
	if err := s.CreateNIC(1, loopback.New()); err != nil {
		return err.String()
	}
	s.AddProtocolAddress(1, tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: own.WithPrefix()}, stack.AddressProperties{})
	listen := func(a tcpip.Address) tcpip.Error {
		ep, err := s.NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, new(waiter.Queue))
		if err != nil {
			return err
		}
		ep.SocketOptions().SetReuseAddress(reuse)
		if err := ep.Bind(tcpip.FullAddress{Addr: a, Port: 80}); err != nil {
			return err
		}
		return ep.Listen(1)
	}
	if err := listen(tcpip.Address{}); err != nil {
		return "first: " + err.String()
	}
	if err := listen(own); err != nil {
		return err.String()
	}
	return "both listen"
}

func inLinux(reuse int) string {
	port := 0
	listen := func(a [4]byte) error {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, reuse)
		if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: a, Port: port}); err != nil {
			return err
		}
		if sa, err := syscall.Getsockname(fd); err == nil {
			port = sa.(*syscall.SockaddrInet4).Port
		}
		return syscall.Listen(fd, 1)
	}
	if err := listen([4]byte{}); err != nil {
		return "first: " + err.Error()
	}
	if err := listen([4]byte{127, 0, 0, 1}); err != nil {
		return err.Error()
	}
	return "both listen"
}

func main() {
	seen := [][3]string{
		{"with SO_REUSEADDR", inGVisor(true), inLinux(1)},
		{"without", inGVisor(false), inLinux(0)},
	}
	want := [][3]string{
		{"with SO_REUSEADDR", "both listen", "address already in use"},
		{"without", "port is in use", "address already in use"},
	}
	for i, s := range seen {
		fmt.Printf("%-18s gVisor: %-15s Linux: %s\n", s[0], s[1], s[2])
		if s != want[i] {
			fmt.Fprintln(os.Stderr, "changed")
			os.Exit(1)
		}
	}
}
GO
go mod init finding 2>/dev/null
timeout 180 go get gvisor.dev/gvisor@v0.0.0-20260905035102-160fafc42237 2>/dev/null
timeout 180 go mod tidy 2>/dev/null
timeout 300 go build -o reuse .
go list -m gvisor.dev/gvisor
echo "Linux $(uname -r)"
timeout 60 ./reuse
