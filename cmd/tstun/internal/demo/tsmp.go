package demo

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"tstun/cmd/tstun/internal/ui"
	"tstun/packet"
)

// tsmp sends a TSMP ping to the server's Wrapper.
func (d *demo) tsmp(ctx context.Context) ([]string, any, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	if err := d.tsmpRoundTrip(ctx); err != nil {
		return nil, nil, err
	}
	took := time.Since(began)
	return []string{fmt.Sprintf("%v answers after %s; neither host's network stack saw it", d.server.v4, ui.Duration(took))},
		TSMPData{d.server.v4, ui.Milliseconds(took)}, nil
}

// tsmpRoundTrip sends a TSMP ping from the client's Wrapper to the server's and
// waits for the pong.
func (d *demo) tsmpRoundTrip(ctx context.Context) error {
	ping := packet.TSMPPing{IPHeader: packet.IPHeader{Src: d.client.v4, Dst: d.server.v4}}
	rand.Read(ping.Data[:]) // never fails, by its documentation
	pongs := make(chan struct{}, 1)
	onPong := func(r packet.TSMPPongReply) {
		if r.Data == ping.Data {
			select {
			case pongs <- struct{}{}:
			default:
			}
		}
	}
	d.client.onPong.Store(&onPong)
	defer d.client.onPong.Store(nil)
	if err := d.client.wrapper.InjectOutbound(packet.Generate(ping, nil)); err != nil {
		return err
	}
	select {
	case <-pongs:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no pong: %w", ctx.Err())
	}
}
