package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.zx2c4.com/wireguard/device"

	"tstun/tundev"
	"tstun/tunnel/internal/hostnet"
)

// handshake says whether the peer answers. One whose last handshake is old is asked for
// another: keys may be used for three minutes after their peer went away.
func (q *question) handshake(ctx context.Context) Check {
	s := q.status()
	if time.Since(s.Handshake) < device.RekeyTimeout { // none is begun so soon
		return q.isUp(&s)
	}
	if !s.Endpoint.IsValid() {
		return q.wrong(StepHandshake, q.silence(tundev.Finding{
			Code: "no-endpoint", Cause: fmt.Sprintf("%s is not up, and where it is is not known: it alone can begin a handshake", q.t.called(q.peer)),
			Advice: "start the tunnel there, with this side's Endpoint and a PersistentKeepalive; or give Endpoint here", Evidence: "the latest handshake: " + orNever(s.Handshake),
		}))
	}
	k := knockAt(ctx, s.Endpoint, q.t.Status().FwMark)
	defer k.close()
	answered := q.answers(ctx, &s)
	if s = q.status(); answered {
		return q.isUp(&s)
	}
	found := q.t.silentFindings(ctx, &s, k.answer())
	first := found[0]
	if first.Code == "no-handshake" {
		first = q.silence(first)
	}
	return q.wrong(StepHandshake, first)
}

// answers begins a handshake, and reports whether the peer has keys and sent something
// that is newer than its state was, within a moment.
func (q *question) answers(ctx context.Context, was *PeerStatus) bool {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	q.t.beginHandshake(q.peer)
	return q.t.awaitHandshake(ctx, q.peer, func(s peerState) bool {
		return s.isUp(time.Now()) && (s.handshake.After(was.Handshake) || s.received > was.Received)
	}) == nil
}

func (q *question) isUp(s *PeerStatus) Check {
	return good(StepHandshake, "the latest handshake with %s was %s", q.t.called(q.peer), age(time.Now(), s.Handshake))
}

// silence returns f, or in its place what WireGuard says of messages that it refused:
// of a peer that is silent that tells more.
func (q *question) silence(f tundev.Finding) tundev.Finding {
	for _, heard := range q.t.heard.findings() {
		if heard.Code != "disallowed-source" {
			return heard
		}
	}
	return f
}

// status returns how the peer is now.
func (q *question) status() PeerStatus {
	s, _ := stateOf(q.t.wg) // fails only where it cannot write to memory
	return q.t.peerStatus(q.l, q.peer, s.peers[q.peer.PublicKey], time.Now())
}

// wrong returns the Check of a finding.
func (*question) wrong(s Step, f tundev.Finding) Check {
	return Check{Step: s, Code: f.Code, Text: f.Cause, Evidence: f.Evidence, Advice: f.Advice}
}

// What WireGuard adds to a packet: 32 bytes of its own (WireGuard paper §5.4.6), 8 of
// UDP, and an IP header.
const (
	overhead4 = 32 + 8 + 20
	overhead6 = 32 + 8 + 40
)

// ownHeaders is what of these is WireGuard's.
const ownHeaders = 32

// answerMTU is how long a router may take to say that a packet is too long.
const answerMTU = 200 * time.Millisecond

// mtu says whether the tunnel's longest packet fits the way to the peer's endpoint,
// or nothing where that is not known.
func (q *question) mtu(ctx context.Context) []Check {
	s := q.status()
	if !s.Endpoint.IsValid() || q.l.mtu == 0 {
		return nil
	}
	path := q.t.pathMTU(ctx, s.Endpoint)
	overhead := overhead4
	if s.Endpoint.Addr().Is6() {
		overhead = overhead6
	}
	switch fits := path - overhead; {
	case path == 0:
		return nil
	case q.l.mtu > fits:
		return []Check{{
			Step: StepMTU, Code: "mtu", Text: fmt.Sprintf("the MTU of %d is too large: %d fits", q.l.mtu, fits),
			Evidence: fmt.Sprintf("the way to %v takes packets of %d bytes, and WireGuard adds %d", s.Endpoint, path, overhead),
			Advice:   fmt.Sprintf("set MTU = %d in [Interface], here and on the other side", fits),
		}}
	}
	return []Check{good(StepMTU, "the MTU of %d fits the way to %v, which takes %d", q.l.mtu, s.Endpoint, path-overhead)}
}

// pathMTU returns the longest packet in bytes that the way to an endpoint takes, or 0
// if that is not known. It sends one as long as the tunnel's, and waits a moment for
// routers.
func (t *Tunnel) pathMTU(ctx context.Context, to netip.AddrPort) int {
	d := net.Dialer{Control: hostnet.MarkSocket(t.Status().FwMark)}
	c, err := d.DialContext(ctx, "udp", to.String())
	if err != nil {
		return 0
	}
	defer func() { _ = c.Close() }() // what it sent is sent
	raw, err := c.(*net.UDPConn).SyscallConn()
	if err != nil || hostnet.DontFragment(raw) != nil {
		return 0
	}
	if _, err := c.Write(make([]byte, t.now().mtu+ownHeaders)); err == nil {
		_ = c.SetReadDeadline(time.Now().Add(answerMTU))
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, syscall.ECONNREFUSED) {
			_, _ = c.Read(make([]byte, 1)) // nobody listens; a router may speak yet
		}
	}
	return hostnet.PathMTU(raw)
}
