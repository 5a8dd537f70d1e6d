package up

import (
	"context"
	"net"

	"tstun/cmd/tstun/internal/export"
	"tstun/cmd/tstun/internal/proxy"
)

// openMetrics opens the ports for monitoring.
func (s *servers) openMetrics(listeners []proxy.Endpoint) error {
	for _, at := range listeners {
		if err := s.openListener("metrics", "--metrics", at, func(ctx context.Context, n through, l net.Listener) error {
			return (&export.Server{Source: n.Tunnel, Logf: s.log.Logf}).Serve(ctx, l)
		}); err != nil {
			return err
		}
	}
	return nil
}
