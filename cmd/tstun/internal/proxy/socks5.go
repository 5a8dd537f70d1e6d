package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"time"

	"tstun/internal/relay"
	"tstun/logger"
)

// SOCKS5 is a SOCKS server of version 5 (RFC 1928) with CONNECT and UDP
// ASSOCIATE. BIND is refused. Names, also in datagrams, are resolved by the
// Network.
//
// The UDP relay serves the client of its control connection alone: datagrams
// from that client's IP address and from the port that the request named, or
// else the one that the first came from. Fragments are dropped. Datagrams from
// all that answer are passed on, with their sender's address.
type SOCKS5 struct {
	Network     Network
	Credentials Credentials // zero: clients need no password (else RFC 1929)
	AllowOpen   bool        // listen elsewhere than on loopback without a password
	Limits      Limits
	Logf        logger.Logf // nil: nothing is logged
}

// Serve serves the clients of l, which it closes, until ctx ends or l fails.
// The error is nil in the first case, and is an ErrOpen if AllowOpen is
// missing. A SOCKS5 can serve many listeners at once.
func (s *SOCKS5) Serve(ctx context.Context, l net.Listener) error {
	if err := checkServer(l, s.Credentials, s.AllowOpen); err != nil {
		l.Close()
		return fmt.Errorf("socks5: %w", err)
	}
	limits, logf := s.Limits.withDefaults(), orDiscard(s.Logf)
	h := &socksHandler{
		route:        route{s.Network, checkDestination, limits.Dial},
		credentials:  s.Credentials,
		limits:       limits,
		associations: newSlots(limits.Datagrams, "socks5: UDP associations", logf),
	}
	if err := (server{"socks5", limits.Connections, logf, h.handle}).serve(ctx, l); err != nil {
		return fmt.Errorf("socks5: %w", err)
	}
	return nil
}

// checkServer returns what keeps a proxy from serving l.
func checkServer(l net.Listener, c Credentials, allowOpen bool) error {
	if err := c.Check(); err != nil {
		return err
	}
	if allowOpen {
		return nil
	}
	return checkOpen(l, c)
}

type socksHandler struct {
	route        route
	credentials  Credentials
	limits       Limits
	associations *slots
}

func (h *socksHandler) handle(ctx context.Context, c net.Conn) {
	c.SetDeadline(time.Now().Add(h.limits.Handshake))
	command, to, err := h.handshake(c)
	if err != nil {
		return
	}
	c.SetDeadline(time.Time{})
	switch command {
	case commandConnect:
		err = h.connect(ctx, c, to)
	case commandAssociate:
		err = h.associate(ctx, c, to)
	default:
		err = errCommand
	}
	if err != nil {
		h.refuse(c, err)
	}
}

// handshake returns what the client asks for. If there is an error, the client
// knows of it.
func (h *socksHandler) handshake(c net.Conn) (command byte, to Endpoint, err error) {
	methods, err := readMethods(c)
	if err != nil {
		return 0, Endpoint{}, err
	}
	if err := h.authenticate(c, methods); err != nil {
		return 0, Endpoint{}, err
	}
	command, to, err = readRequest(c)
	if errors.Is(err, errSyntax) || errors.Is(err, errAddressType) {
		h.refuse(c, err)
	}
	return command, to, err
}

// authenticate chooses a method. Clients may offer to do without a password
// before they offer one, so that what is needed decides.
func (h *socksHandler) authenticate(c net.Conn, methods []byte) error {
	var method byte = methodNone
	if h.credentials.required() {
		method = methodPassword
	}
	if !slices.Contains(methods, method) {
		h.hangUp(c, []byte{socksVersion, methodRefused})
		return errAuthentication
	}
	if _, err := c.Write([]byte{socksVersion, method}); err != nil || method == methodNone {
		return err
	}
	username, password, err := readPassword(c)
	if err != nil {
		return err
	}
	if !h.credentials.match(username, password) {
		h.hangUp(c, []byte{passwordVersion, passwordWrong})
		return errAuthentication
	}
	_, err = c.Write([]byte{passwordVersion, passwordRight})
	return err
}

// refuse sends the reply for err.
func (h *socksHandler) refuse(c net.Conn, err error) {
	h.hangUp(c, appendReply(nil, replyFor(err), netip.AddrPort{}))
}

// hangUp sends the last message and waits for the client to close. An early
// close would take the message away from it by a reset if it has sent more.
func (h *socksHandler) hangUp(c net.Conn, last []byte) {
	c.SetDeadline(time.Now().Add(h.limits.Handshake))
	c.Write(last)
	relay.CloseWrite(c)
	io.CopyN(io.Discard, c, relay.LargeBuffer)
}

// connect serves a CONNECT. It returns an error only before a reply.
func (h *socksHandler) connect(ctx context.Context, c net.Conn, to Endpoint) error {
	remote, err := h.route.dial(ctx, "tcp", to)
	if err != nil {
		return err
	}
	bound, _ := addrPortOf(remote.LocalAddr())
	if _, err := c.Write(appendReply(nil, replySucceeded, bound)); err != nil {
		remote.Close()
		return nil
	}
	relay.Both(ctx, c, remote)
	return nil
}
