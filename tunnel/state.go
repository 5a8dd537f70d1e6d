package tunnel

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.zx2c4.com/wireguard/device"

	"tstun/key"
)

// state is what a WireGuard device says of itself. Its secrets do not show.
type state struct {
	private key.Private
	port    uint16
	mark    uint32
	peers   map[key.Public]peerState
}

type peerState struct {
	shared         key.Preshared
	endpoint       netip.AddrPort
	keepalive      uint16         // seconds
	allowed        []netip.Prefix // in no order
	handshake      time.Time      // the latest; zero: none
	received, sent uint64         // bytes
}

// stateOf asks the device.
func stateOf(wg *device.Device) (state, error) {
	text, err := wg.IpcGet()
	if err != nil {
		return state{}, fmt.Errorf("ask the WireGuard device: %w", err)
	}
	s := state{peers: make(map[key.Public]peerState)}
	var who key.Public
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if name == "public_key" {
			who = key.PublicFromRaw32(rawKey(value))
		}
		if who.IsZero() {
			s.take(name, value)
			continue
		}
		p := s.peers[who]
		p.take(name, value)
		s.peers[who] = p
	}
	return s, nil
}

// rawKey reads a key. The device writes all values well, so here and below what
// cannot be read is left zero.
func rawKey(value string) (raw [32]byte) {
	_, _ = hex.Decode(raw[:], []byte(value))
	return raw
}

// take takes in a line about the device.
func (s *state) take(name, value string) {
	n, _ := strconv.ParseUint(value, 10, 32)
	switch name {
	case "private_key":
		s.private = key.PrivateFromRaw32(rawKey(value))
	case "listen_port":
		s.port = uint16(n)
	case "fwmark":
		s.mark = uint32(n)
	}
}

// take takes in a line about the peer.
func (p *peerState) take(name, value string) {
	n, _ := strconv.ParseUint(value, 10, 64)
	switch name {
	case "preshared_key":
		p.shared = key.PresharedFromRaw32(rawKey(value))
	case "endpoint":
		p.endpoint, _ = netip.ParseAddrPort(value)
	case "persistent_keepalive_interval":
		p.keepalive = uint16(n)
	case "allowed_ip":
		if prefix, err := netip.ParsePrefix(value); err == nil {
			p.allowed = append(p.allowed, prefix)
		}
	case "last_handshake_time_sec":
		if n > 0 {
			p.handshake = time.Unix(int64(n), 0)
		}
	case "last_handshake_time_nsec":
		p.handshake = p.handshake.Add(time.Duration(n))
	case "rx_bytes":
		p.received = n
	case "tx_bytes":
		p.sent = n
	}
}

// isUp reports whether the peer has keys that it may send with: after
// REJECT_AFTER_TIME (WireGuard paper §6.1) it has none.
func (p peerState) isUp(now time.Time) bool {
	return !p.handshake.IsZero() && now.Sub(p.handshake) < device.RejectAfterTime
}
