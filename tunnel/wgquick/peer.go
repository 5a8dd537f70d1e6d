package wgquick

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"tstun/key"
	"tstun/tunnel"
)

// peerSource is what is known of a peer beside its Config.
type peerSource struct {
	place
	seen map[string]place
	// named is where the peer's name is.
	named place
}

// claims has the line of what no two peers may have.
type claims struct {
	byKey    map[key.Public]place
	byPrefix map[netip.Prefix]claim
	byName   map[string]place
}

// claim is a prefix of a peer, by its index.
type claim struct {
	place
	peer int
}

func newClaims() claims {
	return claims{map[key.Public]place{}, map[netip.Prefix]claim{}, map[string]place{}}
}

func (p *parser) beginPeer(at place) {
	p.config.Peers = append(p.config.Peers, tunnel.Peer{})
	p.peers = append(p.peers, &peerSource{place: at, seen: map[string]place{}})
}

// peer returns the peer whose section is being read.
func (p *parser) peer() *tunnel.Peer { return &p.config.Peers[len(p.config.Peers)-1] }

func (p *parser) publicKey(s setting) {
	if p.empty(s) {
		return
	}
	k, err := key.ParsePublic(withoutSpaces(s.value))
	first, again := p.byKey[k]
	switch {
	case err != nil:
		p.refuse(s.atValue(), "", "not a PublicKey: %s", wantKey)
		return
	case k.IsZero():
		p.refuse(s.atValue(), "", "PublicKey is all zeros, which stands for none")
		return
	case again:
		p.refuse(s.atValue(), "make one [Peer] of the two", "this PublicKey is in line %d, too: the later AllowedIPs would replace the earlier", first.line)
	default:
		p.byKey[k] = s.atValue()
	}
	p.peer().PublicKey = k
}

func (p *parser) presharedKey(s setting) {
	if p.empty(s) {
		return
	}
	k, err := key.ParsePreshared(withoutSpaces(s.value))
	if err != nil {
		p.refuse(s.atValue(), "", "not a PresharedKey: %s", wantKey)
	}
	p.peer().PresharedKey = k
}

func (p *parser) allowedIPs(s setting) {
	if p.empty(s) {
		return
	}
	for _, it := range s.items(",") {
		text := withoutSpaces(it.text)
		prefix, ok := parsePrefix(text)
		switch {
		case text == "":
			p.refuse(it.place, "", "nothing between or behind commas in AllowedIPs: want an IP prefix")
		case !ok:
			p.refuse(it.place, "", "AllowedIPs = %s: want an IP prefix, such as 10.0.0.0/24", shown(text))
		default:
			p.allow(it.place, prefix)
		}
	}
}

// allow adds a prefix to the current peer's.
func (p *parser) allow(at place, prefix netip.Prefix) {
	masked := prefix.Masked()
	if masked != prefix {
		p.warn(at, "AllowedIPs = %s: taken as %s", prefix, masked)
	}
	current := len(p.peers) - 1
	first, again := p.byPrefix[masked]
	switch {
	case !again:
		p.byPrefix[masked] = claim{at, current}
		p.peer().AllowedIPs = append(p.peer().AllowedIPs, masked)
	case first.peer != current:
		p.refuse(at, "give it to one of the two", "AllowedIPs = %s is another peer's in line %d: only the later peer would have it", masked, first.line)
	}
}

// parsePrefix reads one of AllowedIPs. The length may have zeros in front.
func parsePrefix(text string) (netip.Prefix, bool) {
	host, bits, hasBits := strings.Cut(text, "/")
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, false
	}
	if !hasBits {
		return netip.PrefixFrom(addr, addr.BitLen()), true
	}
	n, err := strconv.ParseUint(bits, 10, 31)
	prefix := netip.PrefixFrom(addr, int(n))
	return prefix, err == nil && prefix.IsValid()
}

func (p *parser) endpoint(s setting) {
	if p.empty(s) {
		return
	}
	endpoint, wrong := parseEndpoint(withoutSpaces(s.value))
	if wrong != "" {
		p.refuse(s.atValue(), "", "Endpoint = %s: %s", shown(s.value), wrong)
	}
	p.peer().Endpoint = endpoint
}

func (p *parser) keepalive(s setting) {
	if p.empty(s) {
		return
	}
	value := withoutSpaces(s.value)
	if lower(value) == "off" {
		return
	}
	seconds, err := strconv.ParseUint(value, 10, 16)
	if err != nil {
		p.wrong(s, value, "off, or a number of seconds up to 65535")
	}
	p.peer().Keepalive = uint16(seconds)
}

// endPeers checks each peer when all of the file is known.
func (p *parser) endPeers() {
	var own key.Public
	if !p.config.PrivateKey.IsZero() {
		own = p.config.PrivateKey.Public()
	}
	for i, source := range p.peers {
		at, ok := source.seen["PublicKey"]
		switch k := p.config.Peers[i].PublicKey; {
		case !ok:
			p.refuse(source.place, "", "a [Peer] without PublicKey")
		case !k.IsZero() && k == own:
			p.refuse(at, "want the key that the peer shows", "this PublicKey is the tunnel's own: it belongs to its PrivateKey")
		}
	}
	p.config.Peers = slices.Clip(p.config.Peers)
}
