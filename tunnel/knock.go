package tunnel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"tstun/tunnel/internal/hostnet"
)

// knock is one byte that was sent to an endpoint, or why it was not.
type knock struct {
	conn net.Conn // nil: none was sent
	err  error    // nil without conn: there was no time
}

type knocks map[netip.AddrPort]knock

// knockAll sends one byte to each peer that is not up. The mark of the tunnel's
// own packets keeps it out of the tunnel. The sockets are opened on the calling
// thread, whose network namespace is the tunnel's.
func knockAll(ctx context.Context, s *Status) knocks {
	all := make(knocks)
	for i := range s.Peers {
		if p := &s.Peers[i]; !p.Up && p.Endpoint.IsValid() {
			all[p.Endpoint] = knockAt(ctx, p.Endpoint, s.FwMark)
		}
	}
	return all
}

func knockAt(ctx context.Context, to netip.AddrPort, mark uint32) knock {
	d := net.Dialer{Control: hostnet.MarkSocket(mark)}
	c, err := d.DialContext(ctx, "udp", to.String())
	switch {
	case err != nil && ctx.Err() != nil:
		return knock{}
	case err != nil:
		return knock{err: err}
	}
	if _, err := c.Write([]byte{0}); err != nil {
		_ = c.Close()
		return knock{err: err}
	}
	return knock{conn: c}
}

// answer returns the error of the network that a knock has had by now, or nil if
// there was none, which says nothing of who listens.
func (k knock) answer() error {
	if k.conn == nil {
		return k.err
	}
	_ = k.conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond)) // a past one reads nothing
	_, err := k.conn.Read(make([]byte, 1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

func (k knock) close() {
	if k.conn != nil {
		_ = k.conn.Close()
	}
}

func (k knocks) close() {
	for _, one := range k {
		one.close()
	}
}
