package demo

import (
	"context"
	"fmt"

	"tstun/cmd/tstun/internal/ui"
)

// handshake sends a first packet, for which the nodes agree on keys, and looks
// that both have.
func (d *demo) handshake(ctx context.Context) ([]string, any, error) {
	err := d.tsmpRoundTrip(ctx)
	for _, n := range d.nodes() {
		if !n.tunnel.Status().Peers[0].Up {
			return nil, nil, ui.Failf("is UDP to "+n.at.String()+" blocked by a host firewall?", "%s: no handshake: %w", n.name, err)
		}
	}
	data := HandshakeData{d.client.endpoint(), d.server.endpoint()}
	return []string{fmt.Sprintf("%v and %v share session keys", data.From, data.To)}, data, err
}
