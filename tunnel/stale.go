package tunnel

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"tstun/key"
)

// pace says when names of endpoints are looked up again. The zero value is the
// usual one.
type pace struct {
	stale           time.Duration // age of a handshake
	first, greatest time.Duration // between two look-ups, which doubles
}

// usualPace begins when a handshake should have been renewed since 15 s: after
// REKEY_AFTER_TIME, 120 s (WireGuard paper §6.1), and three attempts of
// REKEY_TIMEOUT, 5 s.
var usualPace = pace{stale: 135 * time.Second, first: 30 * time.Second, greatest: 10 * time.Minute}

// lookUpTime is how long a look-up may take.
const lookUpTime = 30 * time.Second

// stalePeer is what is known of a peer whose endpoint has a name.
type stalePeer struct {
	since   time.Time     // of the last handshake, or when the peer was first seen
	traffic uint64        // when its handshake was not stale, or at the last look-up
	wait    time.Duration // after the last look-up
	next    time.Time     // when the next may be
}

// isDue reports whether the peer's name is to be looked up: there is something
// to send, and no handshake. out is what all peers were sent: of what cannot be
// sent to this one, because there is no route, WireGuard counts nothing.
func (s *stalePeer) isDue(is peerState, out uint64, now time.Time, p pace) bool {
	traffic := is.sent + out
	if is.handshake.After(s.since) {
		*s = stalePeer{since: is.handshake}
	}
	if now.Sub(s.since) < p.stale {
		s.traffic = traffic
		return false
	}
	if traffic == s.traffic && is.keepalive == 0 || now.Before(s.next) {
		return false
	}
	s.traffic = traffic
	s.wait = min(max(2*s.wait, p.first), p.greatest)
	s.next = now.Add(s.wait)
	return true
}

// lookUpStale looks up the names of stale peers, in the background, and one set
// of names at a time.
func (o *observer) lookUpStale(ctx context.Context, l *live, s state, now time.Time) {
	select {
	case <-o.idle:
	default:
		return
	}
	var due []Peer
	out := o.tunnel.wrapper.Counters().Out.Packets
	for i := range l.Peers {
		p := &l.Peers[i]
		if !isNamed(p.Endpoint) {
			continue
		}
		if o.stale[p.PublicKey] == nil {
			o.stale[p.PublicKey] = &stalePeer{since: now}
		}
		if o.stale[p.PublicKey].isDue(s.peers[p.PublicKey], out, now, l.pace()) {
			due = append(due, *p)
		}
	}
	go func() {
		for i := range due {
			o.tunnel.lookUpAgain(ctx, &due[i], s.peers[due[i].PublicKey].handshake)
		}
		o.idle <- struct{}{}
	}()
}

func (c *Config) pace() pace {
	if c.lookUps == (pace{}) {
		return usualPace
	}
	return c.lookUps
}

// isNamed reports whether an Endpoint has a name to look up.
func isNamed(endpoint string) bool {
	host, _, err := splitEndpoint(endpoint)
	if err != nil {
		return false
	}
	_, err = netip.ParseAddr(host)
	return err != nil
}

// lookUpAgain finds where a peer is that had no handshake since then.
func (t *Tunnel) lookUpAgain(ctx context.Context, p *Peer, since time.Time) {
	ctx, cancel := context.WithTimeout(ctx, lookUpTime)
	defer cancel()
	addrs, err := t.resolveEndpoint(ctx, p.Endpoint)
	if err == nil {
		err = t.move(p, addrs, since)
	}
	if err != nil && t.life.Err() == nil {
		t.logf("peer %s has no handshake, and its endpoint %s is not found: %v", t.called(p), p.Endpoint, err)
		t.emit(Event{Kind: LookupFailed, Time: time.Now(), Peer: p.PublicKey, PeerName: t.nameOf(p), Text: err.Error()})
	}
}

// move sends what is for the peer to another of addrs than now, unless it had a
// handshake meanwhile or is another's.
func (t *Tunnel) move(p *Peer, addrs []netip.AddrPort, since time.Time) error {
	t.changing.Lock()
	defer t.changing.Unlock()
	old := t.now()
	now := old.peer(p.PublicKey)
	s, err := stateOf(t.wg)
	is := s.peers[p.PublicKey]
	if err != nil || t.isClosed() || now == nil || now.Endpoint != p.Endpoint || !is.handshake.Equal(since) {
		return err
	}
	to := another(addrs, is.endpoint)
	if to == is.endpoint {
		return nil
	}
	next := *old
	next.at = maps.Clone(old.at)
	next.at[p.PublicKey] = to
	steps := []step{{"the endpoint", func() error { return t.setEndpoint(p.PublicKey, to) }, func() error { return t.setEndpoint(p.PublicKey, is.endpoint) }}}
	if t.host != nil {
		steps = append(steps, t.networkSteps(old, &next)...)
	}
	if err := t.apply(&next, steps); err != nil {
		return err
	}
	t.logf("peer %s has no handshake: its endpoint %s is %v now", t.called(p), p.Endpoint, to)
	t.beginHandshake(p)
	return nil
}

// another returns the address after the one that is in use, or the first.
func another(addrs []netip.AddrPort, used netip.AddrPort) netip.AddrPort {
	return addrs[(slices.Index(addrs, used)+1)%len(addrs)]
}

func (t *Tunnel) setEndpoint(k key.Public, at netip.AddrPort) error {
	if !at.IsValid() {
		return nil
	}
	var l lines
	l.setKey("public_key", k.Raw32())
	l.set("update_only", true)
	l.set("endpoint", at)
	return t.wg.IpcSet(l.String())
}
