#!/usr/bin/env bash
# A wireguard-go device that is down goes on reading its TUN and throws every
# packet away: no error, no log line, no counter, and nothing is sent once it is up.
#
# golang.zx2c4.com/wireguard v0.0.0-20260522210424-ecfc5a8d5446.
# One expects that a device that is down leaves the packets to the TUN's queue, or
# that it keeps them as it does while it waits for a handshake (up to 128 a peer).
# Ten packets for a configured peer, given to the TUN
#   while the device is down    all read at once; 0 arrive, even after Up; the verbose
#                               logger says nothing meanwhile; tx_bytes and
#                               last_handshake stay 0
#   once it is up, no session   all read at once; 10 arrive after the handshake
# The device is brought up by the event of a TUN, and by Up; a TUN whose events say
# nothing leaves it down, and its traffic vanishes without a trace.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat >main.go <<'GO'
package main

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/conn/bindtest"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
	"golang.zx2c4.com/wireguard/tun/tuntest"
)

// quiet is a TUN that never tells its device to come up.
type quiet struct{ tun.Device }

func (quiet) Events() <-chan tun.Event { return nil }

var (
	addrA = netip.MustParseAddr("192.0.2.1")
	addrB = netip.MustParseAddr("192.0.2.2")
	lines atomic.Int64 // what a's logger was given
)

func check(ok bool, format string, args ...any) {
	if !ok {
		fmt.Fprintf(os.Stderr, "changed: "+format+"\n", args...)
		os.Exit(1)
	}
}

func must[T any](v T, err error) T {
	check(err == nil, "%v", err)
	return v
}

// send gives n pings to the TUN of a and waits until each is read.
func send(a *tuntest.ChannelTUN, n int) {
	for i := range n {
		select {
		case a.Outbound <- tuntest.Ping(addrB, addrA):
		case <-time.After(5 * time.Second):
			check(false, "ping %d of %d is not read", i+1, n)
		}
	}
}

// arrived counts the pings that reach the TUN of b until none came for d.
func arrived(b *tuntest.ChannelTUN, d time.Duration) int {
	for n := 0; ; n++ {
		select {
		case <-b.Inbound:
		case <-time.After(d):
			return n
		}
	}
}

func main() {
	log := &device.Logger{
		Verbosef: func(string, ...any) { lines.Add(1) },
		Errorf:   func(string, ...any) { lines.Add(1) },
	}
	tunA, tunB := tuntest.NewChannelTUN(), tuntest.NewChannelTUN()
	binds := bindtest.NewChannelBinds()
	a := device.NewDevice(quiet{tunA.TUN()}, binds[0], log)
	b := device.NewDevice(quiet{tunB.TUN()}, binds[1], device.NewLogger(device.LogLevelSilent, ""))

	keyA, keyB := must(ecdh.X25519().GenerateKey(rand.Reader)), must(ecdh.X25519().GenerateKey(rand.Reader))
	hexa := func(b []byte) string { return hex.EncodeToString(b) }
	set := func(d *device.Device, own, other *ecdh.PrivateKey, addr netip.Addr, port int) {
		check(d.IpcSet(fmt.Sprintf("private_key=%s\npublic_key=%s\nendpoint=127.0.0.1:%d\nallowed_ip=%s/32\n",
			hexa(own.Bytes()), hexa(other.PublicKey().Bytes()), port, addr)) == nil, "cannot configure")
	}
	set(a, keyA, keyB, addrB, 1)
	set(b, keyB, keyA, addrA, 2)
	check(b.Up() == nil, "b does not come up")

	// The workers tell the log that they start.
	for before := int64(-1); before != lines.Load(); time.Sleep(300 * time.Millisecond) {
		before = lines.Load()
	}
	before := lines.Load()
	send(tunA, 10)
	lost := arrived(tunB, 2*time.Second)
	state := must(a.IpcGet())
	said := lines.Load() - before
	fmt.Printf("down: 10 packets read, %d arrived, %d lines logged\n", lost, said)
	check(lost == 0, "a device that is down sends")
	check(said == 0, "it logs what it drops")
	check(strings.Contains(state, "\ntx_bytes=0\n") && strings.Contains(state, "\nlast_handshake_time_sec=0\n"), "it counts: %s", state)

	check(a.Up() == nil, "a does not come up")
	kept := arrived(tunB, 3*time.Second)
	fmt.Printf("then up: %d of them arrived\n", kept)
	check(kept == 0, "what was read while down is sent when up")

	send(tunA, 10)
	staged := arrived(tunB, 5*time.Second)
	fmt.Printf("up without a session: 10 packets read, %d arrived after the handshake\n", staged)
	check(staged == 10, "what waits for the handshake is not sent")
	a.Close()
	b.Close()
}
GO
go mod init finding 2>/dev/null
timeout 120 go get golang.zx2c4.com/wireguard@v0.0.0-20260522210424-ecfc5a8d5446 2>/dev/null
timeout 300 go build -o down .
go list -m golang.zx2c4.com/wireguard
timeout 60 ./down
