package tunnel

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"tstun/key"
	"tstun/netstack"
)

// endpoints are the addresses of peers that have an Endpoint.
type endpoints map[key.Public]netip.AddrPort

// resolve finds the addresses of all endpoints, before the tunnel can stand in
// the way of asking for them.
func (t *Tunnel) resolve(ctx context.Context) error {
	found, err := t.resolveAll(ctx, &t.now().Config)
	if err != nil {
		return err
	}
	t.update(func(l *live) { l.at = found })
	t.given = t.now()
	return nil
}

// resolver returns who finds the addresses of endpoints.
func (t *Tunnel) resolver() netstack.Lookup {
	switch {
	case t.now().Resolver != nil:
		return t.now().Resolver
	case t.outside != nil:
		return t.outside
	}
	return net.DefaultResolver
}

// resolveEndpoint returns the addresses of an Endpoint that check took, one at
// least.
func (t *Tunnel) resolveEndpoint(ctx context.Context, endpoint string) ([]netip.AddrPort, error) {
	host, port, err := splitEndpoint(endpoint)
	if err != nil {
		return nil, err
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(a.Unmap(), port)}, nil
	}
	addrs, err := t.resolver().LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%s has no address", host)
	}
	var all []netip.AddrPort
	for _, a := range addrs {
		all = append(all, netip.AddrPortFrom(a.Unmap(), port))
	}
	return all, nil
}

// pollHandshakes is how often Start and Ready look for handshakes that they wait
// for.
const pollHandshakes = 20 * time.Millisecond

// awaitRequired begins handshakes with the required peers and waits for all,
// unless the Config says that nobody waits.
func (t *Tunnel) awaitRequired(ctx context.Context) error {
	if t.now().NoWait {
		return nil
	}
	peers := t.now().Peers
	for i := range peers {
		p := &peers[i]
		if !p.Required {
			continue
		}
		if p.Endpoint != "" {
			t.beginHandshake(p)
		}
		had := func(s peerState) bool { return !s.handshake.IsZero() }
		if err := t.awaitHandshake(ctx, p, had); err != nil {
			return fmt.Errorf("no handshake with peer %d (%s): %w", i+1, t.called(p), err)
		}
	}
	return nil
}

// beginHandshake asks WireGuard for a handshake with a peer that has an
// endpoint. WireGuard repeats the attempt.
func (t *Tunnel) beginHandshake(p *Peer) {
	if peer := t.wg.LookupPeer(p.PublicKey.Raw32()); peer != nil {
		_ = peer.SendHandshakeInitiation(false)
	}
}

// awaitHandshake waits until a peer's state is as wanted.
func (t *Tunnel) awaitHandshake(ctx context.Context, p *Peer, is func(peerState) bool) error {
	tick := time.NewTicker(pollHandshakes)
	defer tick.Stop()
	for {
		s, err := stateOf(t.wg)
		if err != nil || is(s.peers[p.PublicKey]) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-t.wg.Wait():
			return ErrEnded
		}
	}
}
