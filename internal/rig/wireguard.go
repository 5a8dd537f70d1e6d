package rig

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"tstun"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
)

// Node is one end of a tunnel: a real wireguard-go device on a Wrapper.
type Node struct {
	W     *tstun.Wrapper
	Dev   *device.Device
	Addrs []netip.Addr
	key   *ecdh.PrivateKey
}

// NewNode starts a wireguard-go device with a fresh key on w. The device's
// sockets are those of the calling thread's network namespace.
func NewNode(t testing.TB, w *tstun.Wrapper, addrs ...netip.Addr) *Node {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	logger := &device.Logger{Verbosef: device.DiscardLogf, Errorf: t.Logf}
	n := &Node{W: w, Dev: device.NewDevice(w, conn.NewDefaultBind(), logger), Addrs: addrs, key: key}
	t.Cleanup(n.Dev.Close)
	n.Set(t, "private_key=%s\nlisten_port=0\n", hex.EncodeToString(key.Bytes()))
	if err := n.Dev.Up(); err != nil {
		t.Fatal(err)
	}
	return n
}

// Set gives the device lines of its configuration protocol.
func (n *Node) Set(t testing.TB, format string, args ...any) {
	t.Helper()
	if err := n.Dev.IpcSet(fmt.Sprintf(format, args...)); err != nil {
		t.Fatal(err)
	}
}

// Join makes a and b peers over loopback.
func Join(t testing.TB, a, b *Node) {
	t.Helper()
	a.AddPeer(t, b)
	b.AddPeer(t, a)
}

// AddPeer makes peer one that n knows, at its port on loopback.
func (n *Node) AddPeer(t testing.TB, peer *Node) {
	t.Helper()
	config := fmt.Sprintf("public_key=%s\nendpoint=127.0.0.1:%d\n",
		hex.EncodeToString(peer.key.PublicKey().Bytes()), peer.Port(t))
	for _, a := range peer.Addrs {
		config += fmt.Sprintf("allowed_ip=%v\n", netip.PrefixFrom(a, a.BitLen()))
	}
	n.Set(t, "%s", config)
}

// Port returns the UDP port that the node listens on.
func (n *Node) Port(t testing.TB) int {
	t.Helper()
	state, err := n.Dev.IpcGet()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(state) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "listen_port="); ok {
			port, err := strconv.Atoi(value)
			if err != nil {
				t.Fatal(err)
			}
			return port
		}
	}
	t.Fatalf("no listen_port in %q", state)
	return 0
}
