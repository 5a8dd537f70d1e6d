package main

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"golang.zx2c4.com/wireguard/device"
)

// keyPair is a node's identity.
type keyPair struct{ private, public []byte }

func newKeyPair() (keyPair, error) {
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return keyPair{}, err
	}
	return keyPair{private.Bytes(), private.PublicKey().Bytes()}, nil
}

// publicText is the public key as wg(8) writes it.
func (k keyPair) publicText() string { return base64.StdEncoding.EncodeToString(k.public) }

// value returns the first value of a key in the device's configuration
// protocol (wireguard.com/xplatform).
func value(dev *device.Device, key string) (string, error) {
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

func listenPort(dev *device.Device) (uint16, error) {
	v, err := value(dev, "listen_port")
	if err != nil {
		return 0, err
	}
	port, err := strconv.ParseUint(v, 10, 16)
	return uint16(port), err
}

// hasHandshake reports whether the device's first peer has a session.
func hasHandshake(dev *device.Device) (bool, error) {
	v, err := value(dev, "last_handshake_time_nsec")
	if err != nil {
		return false, err
	}
	return v != "0", nil
}
