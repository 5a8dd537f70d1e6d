package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxNames = 64          // that one association uses at once
	nameLife = time.Minute // until a name is resolved anew
)

// association relays the datagrams of one client. RFC 1928 §7.
type association struct {
	route   route
	ip      netip.Addr // of the client
	port    uint16     // from which the client said it would send, or 0
	inside  udpSocket  // towards the client
	outside udpSocket
	names   *outlets[Endpoint]
	idle    *time.Timer
	limit   time.Duration // of idle

	client atomic.Pointer[netip.AddrPort] // nil until the first datagram
}

// associate serves a UDP ASSOCIATE until the client closes c, ctx ends or
// nothing is sent for long. It returns an error only before a reply.
func (h *socksHandler) associate(ctx context.Context, c net.Conn, from Endpoint) error {
	if !h.associations.take() {
		return errors.New("too many associations")
	}
	defer h.associations.give()
	a, relayAddr, err := h.newAssociation(c, from)
	if err != nil {
		return err
	}
	defer a.inside.Close()
	defer a.outside.Close()
	if _, err := c.Write(appendReply(nil, replySucceeded, relayAddr)); err != nil {
		return nil
	}
	a.serve(ctx, c)
	return nil
}

// newAssociation opens the sockets: the client's on the address by which it
// reached the server.
func (h *socksHandler) newAssociation(c net.Conn, from Endpoint) (*association, netip.AddrPort, error) {
	local, ok := addrPortOf(c.LocalAddr())
	remote, ok2 := addrPortOf(c.RemoteAddr())
	if !ok || !ok2 {
		return nil, netip.AddrPort{}, errors.New("the client is not connected by TCP")
	}
	inside, err := net.ListenPacket("udp", netip.AddrPortFrom(local.Addr(), 0).String())
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	outside, err := h.route.network.ListenPacket("udp", ":0")
	if err != nil {
		inside.Close()
		return nil, netip.AddrPort{}, err
	}
	a := &association{
		route: h.route, ip: remote.Addr(), port: expectedPort(from, remote.Addr()), limit: h.limits.IdleUDP,
		inside: newUDPSocket(inside), outside: newUDPSocket(outside),
	}
	a.names = &outlets[Endpoint]{max: maxNames, run: a.runName}
	relayAddr, _ := addrPortOf(inside.LocalAddr())
	return a, relayAddr, nil
}

// expectedPort returns the port of the address that the client announces, or 0
// if it announces none of its own: behind a NAT it cannot know it.
func expectedPort(from Endpoint, client netip.Addr) uint16 {
	if addr, ok := from.addr(); ok && (addr.Addr() == client || addr.Addr().IsUnspecified()) {
		return from.Port
	}
	return 0
}

// serve relays until the association ends, and closes the sockets and c.
func (a *association) serve(ctx context.Context, c net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.idle = time.AfterFunc(a.limit, cancel)
	defer a.idle.Stop()
	stop := context.AfterFunc(ctx, func() {
		c.Close()
		a.inside.Close()
		a.outside.Close()
	})
	defer stop()
	var running sync.WaitGroup
	running.Go(func() {
		defer cancel()
		a.fromClient(ctx)
	})
	running.Go(func() {
		defer cancel()
		a.fromRemotes()
	})
	io.Copy(io.Discard, c)
	cancel()
	running.Wait()
	a.names.wait()
}

func (a *association) fromClient(ctx context.Context) {
	buf := make([]byte, maxUDPHeader+maxDatagram)
	for {
		n, from, err := a.inside.read(buf)
		if err != nil {
			return
		}
		if !a.mayBeClient(from) {
			continue
		}
		header, data, err := parseUDPHeader(buf[:n])
		if err != nil {
			continue
		}
		if a.client.Load() == nil {
			a.client.Store(&from)
		}
		a.idle.Reset(a.limit)
		a.send(ctx, header, data)
	}
}

// mayBeClient reports whether a datagram is the client's. The first one makes
// its port known.
func (a *association) mayBeClient(from netip.AddrPort) bool {
	if known := a.client.Load(); known != nil {
		return from == *known
	}
	return from.Addr() == a.ip && (a.port == 0 || from.Port() == a.port)
}

func (a *association) send(ctx context.Context, header udpHeader, data []byte) {
	if !header.addr.Addr().IsValid() {
		a.names.send(ctx, Endpoint{string(header.name), header.addr.Port()}, data)
		return
	}
	if a.route.check(header.addr.Addr()) == nil {
		a.outside.write(data, unmapped(header.addr))
	}
}

// runName is the outlet of a name.
func (a *association) runName(ctx context.Context, to Endpoint, ready func(func([]byte))) {
	life, cancel := context.WithTimeout(ctx, nameLife)
	defer cancel()
	lookup, cancelLookup := context.WithTimeout(life, a.route.timeout)
	defer cancelLookup()
	addrs, err := a.route.resolve(lookup, to.Host)
	if err != nil {
		return
	}
	ready(func(data []byte) {
		for _, ip := range addrs { // until one has a route
			if a.outside.write(data, netip.AddrPortFrom(ip, to.Port)) == nil {
				return
			}
		}
	})
	<-life.Done()
}

func (a *association) fromRemotes() {
	buf := make([]byte, maxUDPHeader+maxDatagram)
	for {
		n, from, err := a.outside.read(buf[maxUDPHeader:])
		if err != nil {
			return
		}
		client := a.client.Load()
		if client == nil {
			continue
		}
		a.idle.Reset(a.limit)
		var header [maxUDPHeader]byte
		h := appendUDPHeader(header[:0], from)
		start := maxUDPHeader - len(h)
		copy(buf[start:], h)
		a.inside.write(buf[start:maxUDPHeader+n], *client)
	}
}
