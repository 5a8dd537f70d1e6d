package tunnel

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"tstun/key"
)

// Bounds of an MTU: RFC 791 §3.2 has every module forward 68 bytes, and 65535
// is the longest packet.
const minMTU, maxMTU = 68, 65535

const wantMSSClamp = "MSSClamp %d: want 1 to 65535 bytes, ClampToMTU or NoClamp"

// check refuses by name and position what no tunnel can be made of. What a mode
// asks for beyond that, the packages below refuse. Positions count from 1.
func (c *Config) check() error {
	var p problems
	p.addIf(c.PrivateKey.IsZero() && len(c.Hooks.PostUp) == 0, "PrivateKey is missing: without one there is no handshake")
	p.addIf(c.MTU != 0 && (c.MTU < minMTU || c.MTU > maxMTU), "MTU %d: want %d to %d, or 0", c.MTU, minMTU, maxMTU)
	p.addIf(c.Table < TableOff || c.Table > math.MaxUint32, "Table %d: want one from 1 to %d, TableAuto or TableOff", int64(c.Table), uint32(math.MaxUint32))
	p.addIf(!slices.Contains([]Mode{"", ModeAuto, ModeKernel, ModeUserspace}, c.Mode), "Mode %q: want auto, kernel or userspace", string(c.Mode))
	_, known := rejects[c.Reject]
	p.addIf(!known, "Reject %q: want tsmp, reset or none", string(c.Reject))
	p.addIf(!c.MSSClamp.valid(), wantMSSClamp, int(c.MSSClamp))
	p.addIf(c.PolicyHost != "" && c.Policy == "" && c.Audit == "", "PolicyHost %q without a Policy", c.PolicyHost)
	p.addIf(c.Audit != "" && c.RecordMemory < 0, "Audit %q without records: RecordMemory is %d", c.Audit, c.RecordMemory)
	p.addresses(c)
	seen := seenPeers{keys: make(map[key.Public]int), prefixes: make(map[netip.Prefix]int)}
	for i := range c.Peers {
		p.peer(i+1, &c.Peers[i], c.PrivateKey.Public(), seen)
	}
	return errors.Join(p...)
}

// problems is what is wrong with a Config.
type problems []error

func (p *problems) addIf(wrong bool, format string, args ...any) {
	if wrong {
		*p = append(*p, fmt.Errorf(format, args...))
	}
}

func (p *problems) addresses(c *Config) {
	for i, a := range c.Addresses {
		addr := a.Addr()
		bad := !a.IsValid() || addr.Is4In6() || addr.IsUnspecified() || addr.IsMulticast()
		p.addIf(bad, "Addresses: number %d (%v): want the address of one host with its prefix length", i+1, a)
		p.addIf(slices.Contains(c.Addresses[:i], a), "Addresses: number %d (%v) is there already", i+1, a)
	}
	for i, a := range c.DNS {
		p.addIf(!a.IsValid() || a.Is4In6() || a.IsUnspecified() || a.IsMulticast(), "DNS: number %d (%v): want the address of a server", i+1, a)
	}
}

// seenPeers says of keys and prefixes in which peer they were.
type seenPeers struct {
	keys     map[key.Public]int
	prefixes map[netip.Prefix]int
}

func (p *problems) peer(n int, peer *Peer, own key.Public, seen seenPeers) {
	who := fmt.Sprintf("peer %d (%v)", n, peer)
	p.addIf(peer.PublicKey.IsZero(), "peer %d: PublicKey is missing", n)
	p.addIf(!peer.PublicKey.IsZero() && peer.PublicKey == own, "%s: PublicKey is the tunnel's own", who)
	first, again := seen.keys[peer.PublicKey]
	p.addIf(again && !peer.PublicKey.IsZero(), "%s: PublicKey is that of peer %d", who, first)
	seen.keys[peer.PublicKey] = n
	p.addIf(!peer.MSSClamp.valid(), "%s: "+wantMSSClamp, who, int(peer.MSSClamp))
	if peer.Endpoint != "" {
		_, _, err := splitEndpoint(peer.Endpoint)
		p.addIf(err != nil, "%s: %w", who, err)
	}
	for i, prefix := range peer.AllowedIPs {
		what := fmt.Sprintf("%s: AllowedIPs: number %d (%v)", who, i+1, prefix)
		p.addIf(!prefix.IsValid() || prefix.Addr().Is4In6(), "%s is not a prefix of IPv4 or IPv6", what)
		p.addIf(prefix.IsValid() && prefix != prefix.Masked(), "%s has host bits: write %v", what, prefix.Masked())
		first, again := seen.prefixes[prefix]
		p.addIf(again, "%s is in peer %d already", what, first)
		seen.prefixes[prefix] = n
	}
}

// splitEndpoint returns host and port of an Endpoint.
func splitEndpoint(endpoint string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(endpoint)
	n, bad := strconv.ParseUint(text, 10, 16)
	if err != nil || bad != nil || n == 0 || host == "" {
		return "", 0, fmt.Errorf("endpoint %q: want host:port, or [address]:port for IPv6", endpoint)
	}
	return host, uint16(n), nil
}

// stateDir returns where journals lie.
func (c *Config) stateDir() string {
	if c.StateDir == "" {
		return DefaultStateDir
	}
	return c.StateDir
}

// clone returns a Config that shares nothing with c that can be changed.
func (c *Config) clone() Config {
	d := *c
	d.Addresses, d.DNS, d.SearchDomains = slices.Clone(c.Addresses), slices.Clone(c.DNS), slices.Clone(c.SearchDomains)
	d.Hooks = Hooks{slices.Clone(c.Hooks.PreUp), slices.Clone(c.Hooks.PostUp), slices.Clone(c.Hooks.PreDown), slices.Clone(c.Hooks.PostDown)}
	d.Peers = slices.Clone(c.Peers)
	for i := range d.Peers {
		d.Peers[i].AllowedIPs = slices.Clone(d.Peers[i].AllowedIPs)
	}
	return d
}
