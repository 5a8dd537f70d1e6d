package demo

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"tstun/cmd/tstun/internal/ui"
)

const (
	pingAttempts = 5           // echo requests to one address, at most
	pingInterval = time.Second // between two requests
)

// ping pings each address of the server.
func (d *demo) ping(ctx context.Context) (lines []string, data any, err error) {
	var replies []PingReply
	for _, a := range d.server.addrs() {
		r, took, err := d.pingAddress(ctx, a)
		if err != nil {
			return lines, PingData{replies}, err
		}
		replies = append(replies, r)
		line := fmt.Sprintf("%v answers after %s", a, ui.Duration(took))
		if r.Lost > 0 {
			line += fmt.Sprintf(", %d requests were lost before", r.Lost)
		}
		lines = append(lines, line)
	}
	return lines, PingData{replies}, nil
}

// pingAddress sends echo requests until one is answered, as ping(8) does. Any
// request may be lost, and a kernel may not use a new address at once.
func (d *demo) pingAddress(ctx context.Context, a netip.Addr) (r PingReply, took time.Duration, err error) {
	for r.Address = a; r.Lost < pingAttempts; r.Lost++ {
		one, cancel := context.WithTimeout(ctx, pingInterval)
		took, err = d.client.net.Ping(one, a)
		cancel()
		if err == nil {
			r.Milliseconds = ui.Milliseconds(took)
			return r, took, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return r, 0, fmt.Errorf("%v: %w", a, err)
}
