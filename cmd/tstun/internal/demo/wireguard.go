package demo

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"tstun/cmd/tstun/internal/ui"
)

// keyPair is the private and the public key of a node.
type keyPair struct{ private, public []byte }

func newKeyPair() (keyPair, error) {
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return keyPair{}, err
	}
	return keyPair{private.Bytes(), private.PublicKey().Bytes()}, nil
}

// publicText returns the public key in the form of wg(8).
func (k keyPair) publicText() string { return base64.StdEncoding.EncodeToString(k.public) }

// startWireGuard starts the node's WireGuard on dev and on a free port of
// loopback. dev is the node's Wrapper, or a test's device in front of it.
func (n *node) startWireGuard(dev tun.Device) (err error) {
	if n.key, err = newKeyPair(); err != nil {
		return err
	}
	n.dev = device.NewDevice(dev, conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	if err := n.dev.IpcSet(fmt.Sprintf("private_key=%x\nlisten_port=0\n", n.key.private)); err != nil {
		return err
	}
	if err := n.dev.Up(); err != nil {
		return err
	}
	n.port, err = listenPort(n.dev)
	return err
}

// addPeer configures the peer in the node's WireGuard. With a keepalive, the
// node starts the handshake at once; 0 is none.
func (n *node) addPeer(peer *node, keepalive time.Duration) error {
	conf := fmt.Sprintf("public_key=%x\nendpoint=%v\npersistent_keepalive_interval=%d\n",
		peer.key.public, peer.endpoint(), int(keepalive.Seconds()))
	for _, p := range peer.prefixes() {
		conf += fmt.Sprintf("allowed_ip=%v\n", p)
	}
	return n.dev.IpcSet(conf)
}

// handshake makes the nodes peers and waits until both have a session.
func (d *demo) handshake(ctx context.Context) ([]string, any, error) {
	if err := d.server.addPeer(d.client, 0); err != nil {
		return nil, nil, err
	}
	if err := d.client.addPeer(d.server, 25*time.Second); err != nil {
		return nil, nil, err
	}
	for _, n := range d.nodes() {
		if err := eventually(ctx, func() (bool, error) { return hasHandshake(n.dev) }); err != nil {
			return nil, nil, ui.Failf("is UDP to 127.0.0.1 blocked by a host firewall?", "%s: no handshake: %w", n.name, err)
		}
	}
	data := HandshakeData{d.client.endpoint(), d.server.endpoint()}
	return []string{fmt.Sprintf("%v and %v share session keys", data.From, data.To)}, data, nil
}

// ipcValue returns the first value of a key in the device's configuration
// protocol (wireguard.com/xplatform). A missing key is an error.
func ipcValue(dev *device.Device, key string) (string, error) {
	conf, err := dev.IpcGet()
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(conf) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), key+"="); ok {
			return v, nil
		}
	}
	return "", errors.New("wireguard: no " + key)
}

// listenPort returns the UDP port of the device.
func listenPort(dev *device.Device) (uint16, error) {
	v, err := ipcValue(dev, "listen_port")
	if err != nil {
		return 0, err
	}
	port, err := strconv.ParseUint(v, 10, 16)
	return uint16(port), err
}

// hasHandshake reports whether the device's first peer has completed a
// handshake.
func hasHandshake(dev *device.Device) (bool, error) {
	v, err := ipcValue(dev, "last_handshake_time_nsec")
	if err != nil {
		return false, err
	}
	return v != "0", nil
}
