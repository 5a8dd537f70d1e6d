package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Ready returns nil if the tunnel is up and each required peer had a handshake
// within the last 180 s, after which neither side may use its keys. With a peer
// that had none it begins one and waits for it until ctx ends: no ping could be
// answered sooner. The error names each peer without.
func (t *Tunnel) Ready(ctx context.Context) error {
	select {
	case <-t.wg.Wait():
		return ErrEnded
	default:
	}
	if t.isClosed() {
		return fmt.Errorf("tunnel: %w", net.ErrClosed)
	}
	peers := t.now().Peers
	errs := make([]error, len(peers))
	var waiting sync.WaitGroup
	for i := range peers {
		if peers[i].Required {
			waiting.Go(func() { errs[i] = t.peerReady(ctx, &peers[i]) })
		}
	}
	waiting.Wait()
	return errors.Join(errs...)
}

func (t *Tunnel) peerReady(ctx context.Context, p *Peer) error {
	up := func(s peerState) bool { return s.isUp(time.Now()) }
	s, err := stateOf(t.wg)
	if err != nil || up(s.peers[p.PublicKey]) {
		return err
	}
	if !s.peers[p.PublicKey].endpoint.IsValid() {
		return fmt.Errorf("tunnel: no handshake with peer %s: only the peer can begin one, as it has no endpoint", t.called(p))
	}
	t.beginHandshake(p)
	if err := t.awaitHandshake(ctx, p, up); err != nil {
		return fmt.Errorf("tunnel: no handshake with peer %s at %v: %w", t.called(p), s.peers[p.PublicKey].endpoint, err)
	}
	return nil
}
