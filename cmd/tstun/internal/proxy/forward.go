package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"tstun/internal/relay"
	"tstun/logger"
)

// Forward carries what comes to one port to a destination. A port of the host
// is forwarded by a listener of Host and the tunnel as To, one of the tunnel is
// exposed the other way round.
//
// A Forward can serve many listeners at once. All destinations are allowed.
type Forward struct {
	To          Network
	Destination Endpoint // a name is resolved by To, for each connection
	Limits      Limits
	Logf        logger.Logf // nil: nothing is logged
}

// ServeTCP forwards the connections of l, which it closes, until ctx ends or l
// fails. The error is nil in the first case. A connection whose destination
// cannot be reached is reset.
func (f *Forward) ServeTCP(ctx context.Context, l net.Listener) error {
	limits, logf := f.Limits.withDefaults(), orDiscard(f.Logf)
	to := route{network: f.To, timeout: limits.Dial}
	handle := func(ctx context.Context, c net.Conn) {
		remote, err := to.dial(ctx, "tcp", f.Destination)
		if err != nil {
			relay.Reset(c)
			logf("forward: tcp %s: %s", f.Destination, sentence(err))
			return
		}
		relay.Both(ctx, c, remote)
	}
	if err := (server{"forward", limits.Connections, logf, handle}).serve(ctx, l); err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	return nil
}

// ServeUDP forwards the datagrams that come to c, which it closes, and sends
// the answers back, until ctx ends or c fails. The error is nil in the first
// case. Each client has a socket of its own towards the destination; the one
// that was silent longest gives way to one too many.
func (f *Forward) ServeUDP(ctx context.Context, c net.PacketConn) error {
	outer := ctx
	ctx, cancel := context.WithCancel(ctx)
	limits, logf := f.Limits.withDefaults(), orDiscard(f.Logf)
	u := &udpForward{
		route:       route{network: f.To, timeout: limits.Dial},
		destination: f.Destination, socket: newUDPSocket(c), limits: limits, logf: logf,
	}
	clients := &outlets[netip.AddrPort]{max: limits.Datagrams, run: u.runClient}
	defer clients.wait()
	defer cancel()
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := u.socket.read(buf)
		if outer.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("forward: %w", err)
		}
		clients.send(ctx, from, buf[:n])
	}
}

type udpForward struct {
	route       route
	destination Endpoint
	socket      udpSocket
	limits      Limits
	logf        logger.Logf
}

var datagrams = sync.Pool{New: func() any { return new([maxDatagram]byte) }}

// runClient is the outlet of a client's datagrams: a connected socket. It
// sends the answers until there are none for long.
func (u *udpForward) runClient(ctx context.Context, client netip.AddrPort, ready func(func([]byte))) {
	remote, err := u.route.dial(ctx, "udp", u.destination)
	if err != nil {
		u.logf("forward: udp %s: %s", u.destination, sentence(err))
		return
	}
	stop := context.AfterFunc(ctx, func() { remote.Close() })
	defer stop()
	defer remote.Close()
	idle := time.AfterFunc(u.limits.IdleUDP, func() { remote.Close() })
	defer idle.Stop()
	ready(func(data []byte) {
		idle.Reset(u.limits.IdleUDP)
		remote.Write(data)
	})
	buf := datagrams.Get().(*[maxDatagram]byte)
	defer datagrams.Put(buf)
	for {
		n, err := remote.Read(buf[:])
		if err != nil { // also that a datagram was refused: the next one starts anew
			return
		}
		idle.Reset(u.limits.IdleUDP)
		u.socket.write(buf[:n], client)
	}
}
