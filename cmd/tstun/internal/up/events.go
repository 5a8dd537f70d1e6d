package up

import "tstun/tunnel"

// logPeers logs which peers come, go and move, until events is closed. What else
// happens, the tunnel logs.
func (r *runner) logPeers(events <-chan tunnel.Event) {
	for e := range events {
		name := tunnel.Peer{Name: e.PeerName, PublicKey: e.Peer}.String()
		switch e.Kind {
		case tunnel.PeerUp:
			r.log.Info("peer "+name+" is up at "+e.Endpoint.String(), "peer", name, "endpoint", e.Endpoint)
		case tunnel.PeerMoved:
			r.log.Info("peer "+name+" is at "+e.Endpoint.String()+" now", "peer", name, "endpoint", e.Endpoint)
		case tunnel.PeerDown:
			r.log.Info("peer "+name+" is down: no handshake for 180 s", "peer", name)
		}
	}
}
