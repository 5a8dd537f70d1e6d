package up

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tstun/cmd/tstun/internal/ui"
	"tstun/tunnel"
)

// requirePeers marks the peers that are asked for by name or public key.
func requirePeers(peers []tunnel.Peer, asked []string) error {
	for _, who := range asked {
		p := findPeer(peers, who)
		if p == nil {
			return ui.BadInput(peersHint(peers), fmt.Errorf("--require %q: the file has no peer of that name or public key", who))
		}
		p.Required = true
	}
	return nil
}

func findPeer(peers []tunnel.Peer, who string) *tunnel.Peer {
	for i := range peers {
		if p := &peers[i]; p.Name == who || p.PublicKey.String() == who {
			return p
		}
	}
	return nil
}

// maxListed is how many peers a message lists.
const maxListed = 8

// peersHint lists the peers.
func peersHint(peers []tunnel.Peer) string {
	var all []string
	for i := range peers[:min(len(peers), maxListed)] {
		all = append(all, peers[i].String())
	}
	if more := len(peers) - len(all); more > 0 {
		all = append(all, ui.Counted(more, "more", "more"))
	}
	return "its peers are " + strings.Join(all, ", ") + "; a line # Name = x in a [Peer] names one"
}

const (
	// askAgain is how often a required peer that does not answer is asked, and
	// logged. It is when WireGuard takes a handshake for one that failed:
	// REKEY_ATTEMPT_TIME (WireGuard paper §6.4).
	askAgain = 90 * time.Second
	// lookAgain is how often a peer is looked at that has to begin.
	lookAgain = 200 * time.Millisecond
)

// awaitReady returns true once there was a handshake with all required peers, or
// false once ctx has ended. It logs whom it waits for.
func (r *runner) awaitReady(ctx context.Context, t *tunnel.Tunnel) bool {
	for text := "waiting for a handshake with peer "; ; text = "still no handshake with peer " {
		for _, name := range missing(t.Status().Peers) {
			r.log.Info(text+name, "peer", name)
		}
		if ready := r.askPeers(ctx, t); ready || ctx.Err() != nil {
			return ready
		}
	}
}

// askPeers returns true once the tunnel is ready, or false after askAgain.
func (r *runner) askPeers(ctx context.Context, t *tunnel.Tunnel) bool {
	ctx, cancel := context.WithTimeout(ctx, askAgain)
	defer cancel()
	for {
		if t.Ready(ctx) == nil {
			return true
		}
		select {
		case <-time.After(lookAgain): // Ready does not wait for who has to begin
		case <-ctx.Done():
			return false
		}
	}
}

// missing returns the names of required peers without a handshake.
func missing(peers []tunnel.PeerStatus) (names []string) {
	for i := range peers {
		if p := &peers[i]; p.Required && !p.Up {
			names = append(names, nameOf(p))
		}
	}
	return names
}

// nameOf returns what people call a peer.
func nameOf(p *tunnel.PeerStatus) string {
	return tunnel.Peer{Name: p.Name, PublicKey: p.PublicKey}.String()
}
