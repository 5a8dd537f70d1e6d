// Package export shows a tunnel to monitoring: metrics in the formats of
// Prometheus and OpenMetrics, and whether the tunnel is ready and alive.
// docs/metrics.md lists the metrics.
//
// There are as many series as a few for each peer and one for each reason and
// direction: none is for a flow, an address or a port.
package export

import (
	"context"

	"tstun/tunnel"
)

// Source is the tunnel that is shown: a *tunnel.Tunnel.
type Source interface {
	// Status returns a snapshot, whose parts are the caller's.
	Status() tunnel.Status
	// Ready returns why the tunnel cannot be used, or nil.
	Ready(ctx context.Context) error
}
