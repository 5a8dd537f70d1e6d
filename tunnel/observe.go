package tunnel

import (
	"context"
	"net/netip"
	"time"

	"tstun/key"
)

// observePeers is how often peers are looked at: WireGuard does not tell.
const observePeers = time.Second

// observe looks at the peers until the tunnel ends.
func (t *Tunnel) observe(context.Context) error {
	ctx, cancel := context.WithCancel(t.life)
	o := &observer{tunnel: t, seen: make(map[key.Public]seenPeer), stale: make(map[key.Public]*stalePeer), idle: make(chan struct{}, 1)}
	o.idle <- struct{}{}
	ended := make(chan struct{})
	t.atClose("end the look at peers", func() error {
		cancel()
		<-ended
		<-o.idle
		return nil
	})
	go func() {
		defer close(ended)
		o.run(ctx)
	}()
	return nil
}

// observer is what looks at peers. Its goroutine alone uses it.
type observer struct {
	tunnel *Tunnel
	seen   map[key.Public]seenPeer
	stale  map[key.Public]*stalePeer
	idle   chan struct{} // holds one while no name is looked up
}

func (o *observer) run(ctx context.Context) {
	tick := time.NewTicker(observePeers)
	defer tick.Stop()
	for {
		o.look(ctx, time.Now())
		o.tunnel.lookAtTraffic()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look compares the peers with how they were seen, and notes how they are.
func (o *observer) look(ctx context.Context, now time.Time) {
	t := o.tunnel
	s, err := stateOf(t.wg)
	if err != nil {
		t.logf("%v", err)
		return
	}
	l := t.now()
	for i := range l.Peers {
		p := &l.Peers[i]
		is := seenPeer{s.peers[p.PublicKey].isUp(now), s.peers[p.PublicKey].endpoint}
		was := o.seen[p.PublicKey]
		for _, kind := range was.changes(is) {
			e := Event{Kind: kind, Time: now, Peer: p.PublicKey, PeerName: t.nameOf(p), Endpoint: is.endpoint}
			if kind == PeerMoved {
				e.Before = was.endpoint
			}
			t.emit(e)
		}
		o.seen[p.PublicKey] = is
	}
	forget(o.seen, l)
	forget(o.stale, l)
	o.lookUpStale(ctx, l, s, now)
}

// forget removes what is known of keys that are no peer's any more.
func forget[V any](known map[key.Public]V, l *live) {
	for k := range known {
		if _, there := l.ids[k]; !there {
			delete(known, k)
		}
	}
}

// seenPeer is what events are about. The zero value is a peer before its start.
type seenPeer struct {
	up       bool
	endpoint netip.AddrPort
}

// changes returns what happened to a peer that is as is now.
func (was seenPeer) changes(is seenPeer) (kinds []EventKind) {
	if was.endpoint.IsValid() && is.endpoint != was.endpoint {
		kinds = append(kinds, PeerMoved)
	}
	switch {
	case is.up && !was.up:
		kinds = append(kinds, PeerUp)
	case was.up && !is.up:
		kinds = append(kinds, PeerDown)
	}
	return kinds
}
