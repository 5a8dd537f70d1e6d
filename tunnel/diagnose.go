package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/netstack"
	"tstun/tundev"
)

// answerTime is how long a peer, or the host of an endpoint, may take to answer
// a diagnosis.
const answerTime = 2 * time.Second

// Diagnose tells what is wrong with the tunnel, from what can be seen now; the
// package comment lists the codes. It asks peers that are not up for a handshake
// and sends one byte, which WireGuard ignores, to endpoints that do not answer.
// It waits two seconds at most for answers, and looks names up until ctx ends.
func (t *Tunnel) Diagnose(ctx context.Context) (found []tundev.Finding) {
	s := t.Status()
	knocks := knockAll(ctx, &s)
	defer knocks.close()
	t.askPeers(ctx)
	s = t.Status()
	found = append(found, t.policyFindings(&s)...)
	found = append(found, t.markFindings(&s)...)
	found = append(found, t.peerFindings(ctx, &s, knocks)...)
	found = append(found, t.heard.findings()...)
	found = append(found, t.overlapFindings(&s)...)
	found = append(found, t.nameServerFindings(&s)...)
	for _, w := range s.Warnings {
		found = append(found, tundev.Finding{Code: "warning", Cause: w, Advice: "do what the warning says, or leave out what it is about", Evidence: "the host, when the tunnel was set up"})
	}
	found = append(found, dropFindings("inbound", s.Counters.In)...)
	return append(found, dropFindings("outbound", s.Counters.Out)...)
}

// Diagnose tells what is wrong with the tunnel of a Config: it starts it, asks
// as the method of the same name does, and closes it. An endpoint whose name is
// not found is a finding; whatever else fails Start is an error.
func Diagnose(ctx context.Context, c Config) (found []tundev.Finding, err error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("tunnel: %w", err)
	}
	c = c.clone()
	for i := range c.Peers {
		p := &c.Peers[i]
		if p.Endpoint == "" {
			continue
		}
		if err := c.lookUp(ctx, p.Endpoint); err != nil {
			found = append(found, nameFinding(p.String(), p.Endpoint, err))
			p.Endpoint = ""
		}
	}
	t, err := Start(ctx, c)
	if err != nil {
		return found, err
	}
	return append(found, t.Diagnose(ctx)...), t.Close()
}

// lookUp reports whether the host of an Endpoint has an address.
func (c *Config) lookUp(ctx context.Context, endpoint string) error {
	host, _, err := splitEndpoint(endpoint)
	if _, noAddr := netip.ParseAddr(host); err != nil || noAddr == nil {
		return err
	}
	var resolver netstack.Lookup = net.DefaultResolver
	if c.Resolver != nil {
		resolver = c.Resolver
	}
	_, err = resolver.LookupNetIP(ctx, "ip", host)
	return err
}

func (t *Tunnel) policyFindings(s *Status) []tundev.Finding {
	if s.Policy.Error == "" {
		return nil
	}
	inForce := "nothing is in force"
	if s.Policy.Hash != "" {
		inForce = "what is in force is of " + s.Policy.Loaded.Format(time.DateTime)
	}
	return []tundev.Finding{{
		Code: "policy-refused", Cause: "the policy file is wrong, and the one before it stays in force",
		Advice: "correct it: tstun check " + s.Policy.File + " says the same", Evidence: s.Policy.Error + "; " + inForce,
	}}
}

// askPeers begins handshakes with the peers that are not up and have an
// endpoint, and waits a moment for all.
func (t *Tunnel) askPeers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var waiting sync.WaitGroup
	peers := t.now().Peers
	for i := range peers {
		waiting.Go(func() { _ = t.peerReady(ctx, &peers[i]) }) // Status tells
	}
	waiting.Wait()
}

func (t *Tunnel) peerFindings(ctx context.Context, s *Status, knocks knocks) (found []tundev.Finding) {
	silent := make([][]tundev.Finding, len(s.Peers))
	var asking sync.WaitGroup
	for i := range s.Peers {
		p := &s.Peers[i]
		if k, knocked := knocks[p.Endpoint]; knocked && !p.Up {
			asking.Go(func() { silent[i] = t.silentFindings(ctx, p, k.answer()) })
		}
	}
	asking.Wait()
	for _, f := range silent {
		found = append(found, f...)
	}
	return found
}

// silentFindings tells of a peer that does not answer at its endpoint, whose host
// answered a knock with knockErr.
func (t *Tunnel) silentFindings(ctx context.Context, p *PeerStatus, knockErr error) (found []tundev.Finding) {
	who := p.Name
	if who == "" {
		who = p.PublicKey.String()
	}
	if configured := p.ConfiguredEndpoint; configured != "" {
		at, err := t.resolveEndpoint(ctx, configured)
		switch {
		case err != nil:
			found = append(found, nameFinding(who, configured, err))
		case !slices.Contains(at, p.Endpoint):
			found = append(found, tundev.Finding{
				Code: "endpoint-moved", Cause: fmt.Sprintf("the endpoint of %s has another address than packets go to", who),
				Advice: "wait until it is looked up again, or start the tunnel again", Evidence: fmt.Sprintf("%s is %v now, and packets go to %s", configured, at, p.Endpoint),
			})
		}
	}
	return append(found, unanswered(who, p, knockErr))
}

func nameFinding(who, endpoint string, err error) tundev.Finding {
	return tundev.Finding{
		Code: "endpoint-name", Cause: fmt.Sprintf("the name of the endpoint of %s has no address", who),
		Advice: "correct Endpoint, or the DNS of this host, which looks it up", Evidence: fmt.Sprintf("%s: %v", endpoint, err),
	}
}

// unanswered says how far packets to a peer get.
func unanswered(who string, p *PeerStatus, err error) tundev.Finding {
	seen := fmt.Sprintf("%d bytes were sent to %s, %d received; the latest handshake: %s", p.Sent, p.Endpoint, p.Received, orNever(p.Handshake))
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return tundev.Finding{
			Code: "endpoint-refused", Cause: fmt.Sprintf("the host of %s answers, but nothing listens on its UDP port", who),
			Advice: "start WireGuard there, or correct the port of Endpoint: its ListenPort", Evidence: fmt.Sprintf("%s: port unreachable; %s", p.Endpoint, seen),
		}
	case err != nil:
		return tundev.Finding{
			Code: "endpoint-unreachable", Cause: fmt.Sprintf("packets to %s do not leave this host", who),
			Advice: "see that this host has a network, and a route to the endpoint", Evidence: fmt.Sprintf("%v; %s", err, seen),
		}
	}
	asked := fmt.Sprintf("a handshake was asked for, and none came within %v; %s", answerTime, seen)
	if p.Up {
		return tundev.Finding{
			Code: "peer-silent", Cause: fmt.Sprintf("%s was up, and does not answer any more", who),
			Advice:   "see that the tunnel still runs there, and that its host has its network; if it is behind a NAT, give PersistentKeepalive there: the NAT forgets who is silent",
			Evidence: asked,
		}
	}
	return tundev.Finding{
		Code: "no-handshake", Cause: fmt.Sprintf("%s does not answer", who),
		Advice:   "see that its tunnel runs, and that Endpoint is its address; compare both keys with the other side's, and its list of peers; see that no firewall drops UDP to that port, and that this host's clock was not set back, since WireGuard takes no handshake that is older than the last",
		Evidence: asked,
	}
}

func orNever(at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return at.Format(time.DateTime)
}

// nameServerFindings tells of names that nobody looks up.
func (t *Tunnel) nameServerFindings(s *Status) (found []tundev.Finding) {
	if s.Mode != ModeUserspace {
		return nil // the host's warnings tell
	}
	for _, server := range t.now().DNS {
		if !t.now().reaches(server) {
			found = append(found, tundev.Finding{
				Code: "dns-unreachable", Cause: fmt.Sprintf("no peer has the DNS server %v", server),
				Advice: "add it to the AllowedIPs of the peer that it is behind", Evidence: fmt.Sprintf("no AllowedIPs contain %v, so that questions to it go nowhere", server),
			})
		}
	}
	return found
}

// reaches reports whether a peer has the address.
func (c *Config) reaches(a netip.Addr) bool {
	for i := range c.Peers {
		for _, prefix := range c.Peers[i].AllowedIPs {
			if prefix.Contains(a) {
				return true
			}
		}
	}
	return false
}

// fewDrops is how many packets of one reason are no sign of anything.
const fewDrops = 10

// dropFindings tells of a reason for which more packets were dropped than passed.
func dropFindings(direction string, c tstun.DirectionCounters) (found []tundev.Finding) {
	for _, r := range filter.Reasons() {
		if n := c.Drops[r]; n > fewDrops && n > c.Packets {
			found = append(found, tundev.Finding{
				Code: "drops-" + r.String(), Cause: fmt.Sprintf("more %s packets are dropped for one reason than pass: %s", direction, r.Explain()),
				Advice: dropAdvice(r), Evidence: fmt.Sprintf("%d %s packets were dropped for %s, %d passed", n, direction, r, c.Packets),
			})
		}
	}
	return found
}

func dropAdvice(r filter.Reason) string {
	switch r {
	case filter.ReasonNoRule, filter.ReasonRevoked:
		return "if they are to pass, add a rule to the policy: tstun explain says which one comes nearest"
	case filter.ReasonNotLocal:
		return "if they are to pass, add the address to local in the policy"
	case filter.ReasonDevice:
		return "see that the interface is up"
	}
	return "see who sends such packets"
}
