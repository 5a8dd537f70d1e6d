// Package pair makes the two ends of a tunnel so that they fit each other: a
// file of wg-quick's form for each, and one policy for both.
package pair

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"tstun/key"
	"tstun/tunnel"
	"tstun/tunnel/wgquick"
)

// Options say what the two ends are.
type Options struct {
	// Names are the ends' names. The second end looks for the first.
	Names [2]string
	// Endpoint is where the second finds the first, as host:port.
	Endpoint string
	// Subnets are the tunnel's networks, at most one of each IP version. A
	// version without one gets DefaultSubnet, or a random one of IPv6.
	Subnets []netip.Prefix
	// DNS are the name servers of the second end.
	DNS []netip.Addr
	// FullTunnel: the second sends all that it sends to the first.
	FullTunnel bool
}

// Pair is two ends, and the policy for both. It holds their secrets.
type Pair struct {
	Ends       [2]End
	Policy     []byte // of PolicyFile
	OneMachine bool   // the second looks for the first on its own machine
}

// PolicyFile is the name of the file with the policy.
const PolicyFile = "policy.hujson"

// End is one end of the tunnel.
type End struct {
	Config tunnel.Config
	Addrs  []netip.Addr
	Text   []byte // of File
}

// File returns the name of the end's file.
func (e *End) File() string { return e.Config.Name + ".conf" }

// keepalive keeps a NAT's mapping between the second end and the first alive.
// It is in seconds; wg(8) advises 25.
const keepalive = 25

// New makes a pair, with fresh keys. Its errors name the option that is wrong.
func New(o Options) (*Pair, error) {
	at, err := parseEndpoint(o.Endpoint)
	subnets, subnetErr := chooseSubnets(o.Subnets)
	if err := errors.Join(checkNames(o.Names), err, subnetErr, at.checkOutside(subnets), checkDNS(o.DNS)); err != nil {
		return nil, err
	}
	p := &Pair{OneMachine: at.isLoopback()}
	secrets, shared := [2]key.Private{key.NewPrivate(), key.NewPrivate()}, key.NewPreshared()
	for i := range p.Ends {
		e := &p.Ends[i]
		e.Config = tunnel.Config{Name: o.Names[i], PrivateKey: secrets[i]}
		for _, s := range subnets {
			e.Addrs = append(e.Addrs, hostIn(s, i))
			e.Config.Addresses = append(e.Config.Addresses, netip.PrefixFrom(hostIn(s, i), s.Bits()))
		}
	}
	for i := range p.Ends {
		other := &p.Ends[1-i]
		peer := tunnel.Peer{Name: o.Names[1-i], PublicKey: secrets[1-i].Public(), PresharedKey: shared}
		for _, a := range other.Addrs {
			peer.AllowedIPs = append(peer.AllowedIPs, netip.PrefixFrom(a, a.BitLen()))
		}
		p.Ends[i].Config.Peers = []tunnel.Peer{peer}
	}
	p.connect(o, at)
	return p, p.write(o)
}

// connect lets the second end find the first.
func (p *Pair) connect(o Options, at endpoint) {
	first, second := &p.Ends[0].Config, &p.Ends[1].Config
	first.ListenPort = at.port
	second.DNS = o.DNS
	second.Peers[0].Endpoint = o.Endpoint
	if !p.OneMachine {
		second.Peers[0].Keepalive = keepalive
	}
	if o.FullTunnel {
		second.Peers[0].AllowedIPs = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	}
}

// write makes the texts of the files.
func (p *Pair) write(o Options) (err error) {
	for i := range p.Ends {
		e := &p.Ends[i]
		if e.Text, err = wgquick.Marshal(&e.Config); err != nil {
			// All else was looked at.
			return fmt.Errorf("endpoint %q: want an IP address or the name of a host in front of the port", o.Endpoint)
		}
	}
	p.Policy, err = policyFor(&p.Ends, o.FullTunnel)
	return err
}

// name is what both names an interface and a host in a policy.
var name = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_.-]{0,14}$`)

func checkNames(names [2]string) error {
	var errs []error
	for _, n := range names {
		if !name.MatchString(n) {
			errs = append(errs, fmt.Errorf("name %q: want a letter, then up to 14 of a-z, A-Z, 0-9 and _.-", n))
		}
	}
	if strings.EqualFold(names[0], names[1]) {
		errs = append(errs, fmt.Errorf("both ends are called %q: want two names", names[0]))
	}
	return errors.Join(errs...)
}

func checkDNS(servers []netip.Addr) error {
	var errs []error
	for _, a := range servers {
		if a.IsUnspecified() || a.IsMulticast() || a.Is4In6() {
			errs = append(errs, fmt.Errorf("DNS %v: want the address of a server", a))
		}
	}
	return errors.Join(errs...)
}
