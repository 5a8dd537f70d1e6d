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

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/bind"
)

// Node is one end of a tunnel on loopback: a real wireguard-go device on a
// Wrapper.
type Node struct {
	W     *tstun.Wrapper
	Dev   *device.Device
	Addrs []netip.Addr
	key   *ecdh.PrivateKey
}

// NewNode starts a wireguard-go device with a fresh key on w. The device's
// sockets are those of the calling thread's network namespace. The device is
// closed with the test.
func NewNode(t testing.TB, w *tstun.Wrapper, addrs ...netip.Addr) *Node {
	t.Helper()
	n := &Node{W: w, Addrs: addrs, key: NewKey(t)}
	logger := &device.Logger{Verbosef: device.DiscardLogf, Errorf: t.Logf}
	dev, err := StartWireGuard(w, logger, Interface(n.key, 0))
	if err != nil {
		t.Fatal(err)
	}
	n.Dev = dev
	t.Cleanup(n.Dev.Close)
	return n
}

// Join makes a and b peers over loopback.
func Join(t testing.TB, a, b *Node) {
	t.Helper()
	a.AddPeer(t, b)
	b.AddPeer(t, a)
}

// AddPeer makes n know peer, at its port on loopback.
func (n *Node) AddPeer(t testing.TB, peer *Node) {
	t.Helper()
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(peer.Port(t)))
	if err := n.Dev.IpcSet(Peer(peer.key.PublicKey(), at, peer.Addrs)); err != nil {
		t.Fatal(err)
	}
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

// NewKey returns a fresh key of WireGuard's.
func NewKey(t testing.TB) *ecdh.PrivateKey {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Interface returns the lines of wireguard-go's configuration that say who a
// device is. With port 0 it takes one that is free.
func Interface(key *ecdh.PrivateKey, port int) string {
	return fmt.Sprintf("private_key=%s\nlisten_port=%d\n", hex.EncodeToString(key.Bytes()), port)
}

// Peer returns the lines of wireguard-go's configuration for a peer with these
// addresses.
func Peer(key *ecdh.PublicKey, at netip.AddrPort, addrs []netip.Addr) string {
	config := fmt.Sprintf("public_key=%s\nendpoint=%v\n", hex.EncodeToString(key.Bytes()), at)
	for _, a := range addrs {
		config += fmt.Sprintf("allowed_ip=%v\n", netip.PrefixFrom(a, a.BitLen()))
	}
	return config
}

// StartWireGuard starts wireguard-go on a device, with sockets in the calling
// thread's network namespace. It closes dev if it fails.
func StartWireGuard(dev tun.Device, logger *device.Logger, config string) (*device.Device, error) {
	wg := device.NewDevice(dev, bind.New(), logger)
	err := wg.IpcSet(config)
	if err == nil {
		err = wg.Up()
	}
	if err != nil {
		wg.Close()
		return nil, err
	}
	return wg, nil
}
