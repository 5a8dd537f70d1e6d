package candidate

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"reflect"
	"time"
	"unsafe" // also for go:linkname

	"github.com/slackhq/nebula"
	"github.com/slackhq/nebula/cert"
	"github.com/slackhq/nebula/cert_test"
	"github.com/slackhq/nebula/firewall"
)

// Nebula is what nebula does with each packet that tstun does too: parse it,
// then ask the firewall with its connection tracking, in the setting that
// nebula has by default (one routine, so no cache per routine). It has
// neither statistics per connection nor hooks.
type Nebula struct {
	wall   *nebula.Firewall
	pool   *cert.CAPool
	peer   *nebula.HostInfo
	parsed firewall.Packet
}

// nebulaParse is nebula's parser of one packet, which is not exported.
//
//go:linkname nebulaParse github.com/slackhq/nebula.newPacket
func nebulaParse(data []byte, incoming bool, fp *firewall.Packet) error

// NewNebula makes a firewall. Rules other than the one for Peer are left out:
// it takes seconds to add thousands, and a tracked connection meets none.
func NewNebula(s Setup) (*Nebula, error) {
	now := time.Now()
	ca, _, key, _ := cert_test.NewTestCaCert(cert.Version2, cert.Curve_CURVE25519, now, now.Add(time.Hour), nil, nil, nil)
	certify := func(a netip.Addr) cert.Certificate {
		c, _, _, _ := cert_test.NewTestCert(cert.Version2, cert.Curve_CURVE25519, ca, key, a.String(), now, now.Add(time.Hour),
			[]netip.Prefix{netip.PrefixFrom(a, 24)}, nil, nil)
		return c
	}
	pool := cert.NewCAPool()
	if err := pool.AddCA(ca); err != nil {
		return nil, fmt.Errorf("nebula: %w", err)
	}
	cached, err := pool.VerifyCertificate(now, certify(s.Peer))
	if err != nil {
		return nil, fmt.Errorf("nebula: %w", err)
	}
	wall := nebula.NewFirewall(slog.New(slog.NewTextHandler(io.Discard, nil)),
		12*time.Minute, 3*time.Minute, 10*time.Minute, certify(s.Host)) // its defaults
	for _, proto := range []uint8{firewall.ProtoTCP, firewall.ProtoUDP} {
		if err := wall.AddRule(true, proto, int32(s.First), int32(s.Last), nil, "any", "", "", "", ""); err != nil {
			return nil, fmt.Errorf("nebula: %w", err)
		}
	}
	if err := wall.AddRule(false, firewall.ProtoAny, 0, 0, nil, "any", "", "", "", ""); err != nil {
		return nil, fmt.Errorf("nebula: %w", err)
	}
	return &Nebula{wall: wall, pool: pool, peer: nebulaPeer(s.Peer, cached)}, nil
}

// nebulaPeer makes what the firewall asks about a peer. A handshake fills it
// in; its fields are not exported.
func nebulaPeer(a netip.Addr, c *cert.CachedCertificate) *nebula.HostInfo {
	h := &nebula.HostInfo{ConnectionState: new(nebula.ConnectionState)}
	set(h, "vpnAddrs", []netip.Addr{a})
	set(h.ConnectionState, "peerCert", c)
	return h
}

// set sets a field that is not exported. It panics if *of has no such field.
func set(of any, field string, value any) {
	f := reflect.ValueOf(of).Elem().FieldByName(field)
	reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem().Set(reflect.ValueOf(value))
}

// Judge returns why the packet is dropped, or nil. One goroutine at a time.
func (n *Nebula) Judge(data []byte, inbound bool) error {
	if err := nebulaParse(data, inbound, &n.parsed); err != nil {
		return err
	}
	return n.wall.Drop(n.parsed, inbound, n.peer, n.pool, nil)
}
