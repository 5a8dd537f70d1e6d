package tstun_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"

	"tstun"
)

// wgNode is one end of a tunnel: a real wireguard-go device on a Wrapper.
type wgNode struct {
	w     *tstun.Wrapper
	dev   *device.Device
	addrs []netip.Addr
	key   *ecdh.PrivateKey
}

// newNode starts a wireguard-go device with a fresh key on w. The device's
// sockets are those of the calling thread's network namespace.
func newNode(t testing.TB, w *tstun.Wrapper, addrs ...netip.Addr) *wgNode {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	logger := &device.Logger{Verbosef: device.DiscardLogf, Errorf: t.Logf}
	n := &wgNode{w: w, dev: device.NewDevice(w, conn.NewDefaultBind(), logger), addrs: addrs, key: key}
	t.Cleanup(n.dev.Close)
	n.set(t, "private_key=%s\nlisten_port=0\n", hex.EncodeToString(key.Bytes()))
	if err := n.dev.Up(); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *wgNode) set(t testing.TB, format string, args ...any) {
	t.Helper()
	if err := n.dev.IpcSet(fmt.Sprintf(format, args...)); err != nil {
		t.Fatal(err)
	}
}

// join makes a and b peers over loopback.
func join(t testing.TB, a, b *wgNode) {
	t.Helper()
	a.addPeer(t, b)
	b.addPeer(t, a)
}

func (n *wgNode) addPeer(t testing.TB, peer *wgNode) {
	t.Helper()
	config := fmt.Sprintf("public_key=%s\nendpoint=127.0.0.1:%d\n",
		hex.EncodeToString(peer.key.PublicKey().Bytes()), peer.port(t))
	for _, a := range peer.addrs {
		config += fmt.Sprintf("allowed_ip=%v\n", netip.PrefixFrom(a, a.BitLen()))
	}
	n.set(t, "%s", config)
}

// port returns the UDP port that the node listens on.
func (n *wgNode) port(t testing.TB) int {
	t.Helper()
	state, err := n.dev.IpcGet()
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
