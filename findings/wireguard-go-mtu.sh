#!/usr/bin/env bash
# wireguard-go's NativeTun.MTU asks the network namespace of the calling thread for
# an interface of that name, not the TUN that it holds: it fails elsewhere, or gives
# the MTU of another interface that happens to have the name.
#
# golang.zx2c4.com/wireguard v0.0.0-20260522210424-ecfc5a8d5446, seen on Linux 6.18.
# A TUN "finding0" of MTU 1420 made in a namespace B, by a goroutine locked to its
# thread; Name is right on every thread:
#   MTU() on a thread in B                              1420
#   MTU() on a thread in A                              failed to get MTU of TUN
#                                                       device: no such device
#   MTU() in A, where another "finding0" has MTU 1300   1300, no error
# device.Device asks for it from its event worker, which runs on any thread.
# Needs /dev/net/tun and the right to make user namespaces (or root).
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

func check(ok bool, format string, args ...any) {
	if !ok {
		fmt.Fprintf(os.Stderr, "changed: "+format+"\n", args...)
		os.Exit(1)
	}
}

func show(where string, d tun.Device) (int, error) {
	mtu, err := d.MTU()
	name, _ := d.Name()
	fmt.Printf("%s: %s has MTU %d, error: %v\n", where, name, mtu, err)
	check(name == "finding0", "its name is %s", name)
	return mtu, err
}

func main() {
	inB := make(chan tun.Device)
	again := make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		check(unix.Unshare(unix.CLONE_NEWNET) == nil, "no namespace of its own")
		d, err := tun.CreateTUN("finding0", 1420)
		check(err == nil, "create: %v", err)
		mtu, err := show("thread in B", d)
		check(err == nil && mtu == 1420, "it is not 1420 in B")
		inB <- d
		<-again
		mtu, err = show("thread in B, again", d)
		check(err == nil && mtu == 1420, "it is not 1420 in B")
		inB <- d
	}()

	d := <-inB
	_, err := show("thread in A", d)
	check(err != nil, "A knows the MTU")

	other, err := tun.CreateTUN("finding0", 1300)
	check(err == nil, "create another: %v", err)
	mtu, err := show("thread in A, where another has the name", d)
	check(err == nil && mtu == 1300, "it is not the other's MTU")

	close(again)
	<-inB
	other.Close()
	d.Close()
}
GO
go mod init finding 2>/dev/null
timeout 120 go get golang.zx2c4.com/wireguard@v0.0.0-20260522210424-ecfc5a8d5446 2>/dev/null
timeout 300 go build -o mtu .
go list -m golang.zx2c4.com/wireguard
echo "Linux $(uname -r)"
timeout 60 unshare --map-root-user --net ./mtu
