#!/usr/bin/env bash
# wg(8) takes ports above 65535 in its configuration without a word, and keeps their
# lower 16 bits: glibc's getaddrinfo, which it asks, does so for numeric services.
#
# wireguard-tools 1.0.20210914-1+b1, glibc 2.36-9+deb12u14, a wireguard-go 20260522
# device behind the socket. `wg setconf` of one line, then `wg show`:
#   ListenPort = 51820    51820
#   ListenPort = 117356   51820
#   Endpoint = 192.0.2.2:117356   192.0.2.2:51820
# Needs wg(8), and the right to make user namespaces (or root).
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/ipc"
	"golang.zx2c4.com/wireguard/tun/tuntest"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func wg(args ...string) string {
	out, err := exec.Command("wg", args...).CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "changed: wg %v: %v: %s", args, err, out)
		os.Exit(1)
	}
	return strings.TrimSpace(string(out))
}

func check(got, want string) {
	if got != want {
		fmt.Fprintf(os.Stderr, "changed: %q, not %q\n", got, want)
		os.Exit(1)
	}
}

func main() {
	d := device.NewDevice(tuntest.NewChannelTUN().TUN(), conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	file, err := ipc.UAPIOpen("finding0")
	must(err)
	socket, err := ipc.UAPIListen("finding0", file)
	must(err)
	go func() {
		for c, err := socket.Accept(); err == nil; c, err = socket.Accept() {
			go d.IpcHandle(c)
		}
	}()
	setconf := func(text string) {
		must(os.WriteFile("conf", []byte(text), 0o600))
		wg("setconf", "finding0", "conf")
	}
	for _, port := range []string{"51820", "117356"} {
		setconf("[Interface]\nListenPort = " + port + "\n")
		got := wg("show", "finding0", "listen-port")
		fmt.Printf("ListenPort = %-7s %s\n", port, got)
		check(got, "51820")
	}
	key := strings.Repeat("A", 42) + "E="
	setconf("[Peer]\nPublicKey = " + key + "\nEndpoint = 192.0.2.2:117356\n")
	_, got, _ := strings.Cut(wg("show", "finding0", "endpoints"), "\t")
	fmt.Printf("Endpoint = 192.0.2.2:117356  %s\n", got)
	check(got, "192.0.2.2:51820")
}
GO
go mod init finding 2>/dev/null
timeout 120 go get golang.zx2c4.com/wireguard@v0.0.0-20260522210424-ecfc5a8d5446 2>/dev/null
timeout 300 go build -o port .
dpkg-query -W -f '${Package} ${Version}\n' wireguard-tools libc6
go list -m golang.zx2c4.com/wireguard
# The socket is in /var/run/wireguard, here of a mount namespace of its own.
timeout 60 unshare --map-root-user --net --mount sh -c 'mount -t tmpfs tmpfs /var/run && exec ./port'
