package netstack

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// maxPayload is the longest UDP message that is asked for, in bytes: it fits
// all paths without fragments (DNS flag day 2020).
const maxPayload = 1232

var errNoServers = errors.New("no DNS servers given")

// ask asks the servers for an absolute name until one of them knows.
func (r *Resolver) ask(ctx context.Context, fqdn string, t dnsmessage.Type) (answer, *net.DNSError) {
	if len(r.Servers) == 0 {
		return answer{}, &net.DNSError{UnwrapErr: errNoServers, Err: errNoServers.Error(), Name: fqdn}
	}
	name, err := dnsmessage.NewName(fqdn)
	if err != nil {
		return answer{}, dnsError(err, fqdn, "")
	}
	q := dnsmessage.Question{Name: name, Type: t, Class: dnsmessage.ClassINET}
	var last *net.DNSError
	for range r.own.attempts {
		for _, server := range r.Servers {
			a, err := r.exchange(ctx, server.String(), q)
			if err == nil {
				return a, nil
			}
			last = dnsError(err, fqdn, server.String())
			if last.IsNotFound || errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
				return answer{}, last
			}
		}
	}
	return answer{}, last
}

// dnsError tells errors of sockets and contexts, which it wraps, from what a
// server said.
func dnsError(err error, name, server string) *net.DNSError {
	e := &net.DNSError{Err: err.Error(), Name: name, Server: server}
	if said, ok := err.(answerError); ok {
		e.IsNotFound = said == errNoName || said == errNoData || said == errLocalhost
		e.IsTemporary = said == errServFail
		return e
	}
	e.UnwrapErr = err
	var timeout net.Error
	e.IsTimeout = errors.As(err, &timeout) && timeout.Timeout()
	e.IsTemporary = !errors.Is(err, net.ErrClosed) && !errors.Is(err, context.Canceled)
	return e
}

// exchange asks one server: by UDP, then by TCP if the answer is truncated. A
// truncated answer by TCP stands as it is.
func (r *Resolver) exchange(ctx context.Context, server string, q dnsmessage.Question) (answer, error) {
	m, err := r.roundTrip(ctx, "udp", server, q)
	if err == nil && m.h.Truncated {
		m, err = r.roundTrip(ctx, "tcp", server, q)
	}
	if err != nil {
		return answer{}, err
	}
	return m.answer(q)
}

// roundTrip sends a question over a connection of its own. The error is ctx's
// if that is done.
func (r *Resolver) roundTrip(ctx context.Context, network, server string, q dnsmessage.Question) (reply, error) {
	limited, cancel := context.WithTimeout(ctx, r.own.timeout)
	defer cancel()
	m, err := r.roundTripWithin(limited, network, server, q)
	switch {
	case err == nil:
		return m, nil
	case ctx.Err() != nil:
		return m, ctx.Err()
	case limited.Err() != nil:
		return m, os.ErrDeadlineExceeded
	}
	return m, err
}

func (r *Resolver) roundTripWithin(ctx context.Context, network, server string, q dnsmessage.Question) (reply, error) {
	id, msg, err := newQuery(q)
	if err != nil {
		return reply{}, err
	}
	c, err := r.Dial(ctx, network, server)
	if err != nil {
		return reply{}, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, ok := c.(net.PacketConn); ok {
		return overDatagrams(c, msg[2:], id, q)
	}
	return overStream(c, msg, id, q)
}

// newQuery returns the message of a question behind its length, as TCP wants
// it (RFC 1035 §4.2.2).
func newQuery(q dnsmessage.Question) (id uint16, msg []byte, err error) {
	var random [2]byte
	rand.Read(random[:])
	id = binary.BigEndian.Uint16(random[:])
	var opt dnsmessage.ResourceHeader
	if err := opt.SetEDNS0(maxPayload, dnsmessage.RCodeSuccess, false); err != nil {
		return 0, nil, err
	}
	m := dnsmessage.Message{
		Header:      dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions:   []dnsmessage.Question{q},
		Additionals: []dnsmessage.Resource{{Header: opt, Body: &dnsmessage.OPTResource{}}},
	}
	msg, err = m.AppendPack(make([]byte, 2, 512))
	if err != nil {
		return 0, nil, err
	}
	binary.BigEndian.PutUint16(msg, uint16(len(msg)-2))
	return id, msg, nil
}

// overDatagrams waits for the answer and ignores all else: it may be forged,
// or late.
func overDatagrams(c net.Conn, msg []byte, id uint16, q dnsmessage.Question) (reply, error) {
	if _, err := c.Write(msg); err != nil {
		return reply{}, err
	}
	buf := make([]byte, maxPayload)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return reply{}, err
		}
		if m, ok := openReply(buf[:n], id, q); ok {
			return m, nil
		}
	}
}

func overStream(c net.Conn, msg []byte, id uint16, q dnsmessage.Question) (reply, error) {
	if _, err := c.Write(msg); err != nil {
		return reply{}, err
	}
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return reply{}, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(c, buf); err != nil {
		return reply{}, err
	}
	m, ok := openReply(buf, id, q)
	if !ok {
		return reply{}, errUnrelated
	}
	return m, nil
}

// reaches reports whether a socket to the address can be opened, which sends
// nothing.
func (r *Resolver) reaches(ctx context.Context, a netip.Addr) bool {
	c, err := r.Dial(ctx, "udp", netip.AddrPortFrom(a, discardPort).String())
	if err == nil {
		c.Close()
	}
	return err == nil
}

const discardPort = 9 // RFC 863
