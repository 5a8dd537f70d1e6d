package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"tstun/cmd/tstun/internal/ui"
	"tstun/ipproto"
)

// refused connects to a port of the server that no rule allows, and checks
// that the server's filter drops the SYN and the client gets a reset.
func (d *demo) refused(ctx context.Context) ([]string, any, error) {
	to := d.server.addrPort(portSSH)
	w := expectDrop(d.server, netip.AddrPortFrom(d.client.v4, 0), to, ipproto.TCP)
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	began := time.Now()
	c, err := d.client.net.DialContext(ctx, "tcp", to.String())
	took := time.Since(began)
	if err == nil {
		c.Close()
		return nil, nil, fmt.Errorf("%v was let in, which no rule allows", to)
	}
	data := RefusedData{Error: err.Error(), Milliseconds: ui.Milliseconds(took)}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return nil, data, fmt.Errorf("%v was not refused: %w", to, err)
	}
	lines, drop, err := w.await(ctx)
	data.DropData = drop
	return append([]string{fmt.Sprintf("%v: connection refused after %s", to, ui.Duration(took))}, lines...), data, err
}
