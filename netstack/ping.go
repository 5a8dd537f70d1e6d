package netstack

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	echoHeaderLen = 8  // RFC 792, RFC 4443 §4.1
	echoCookieLen = 16 // random bytes by which a reply is recognised
)

// Ping sends one ICMP echo request to a and returns the time until its reply
// came. It waits until ctx is done.
func (s *Stack) Ping(ctx context.Context, a netip.Addr) (time.Duration, error) {
	fail := func(err error) (time.Duration, error) {
		if s.closing.Load() {
			err = net.ErrClosed
		}
		return 0, opError("ping", "ip", nil, &net.IPAddr{IP: a.AsSlice()}, err)
	}
	if !a.IsValid() || a.Is4In6() || a.Zone() != "" {
		return fail(fmt.Errorf("address %v cannot be pinged", a))
	}
	if err := ctx.Err(); err != nil {
		return fail(contextError(ctx))
	}
	if s.closing.Load() {
		return fail(net.ErrClosed)
	}
	if err := s.link.reach(a); err != nil {
		return fail(os.NewSyscallError("connect", err))
	}
	var wq waiter.Queue
	ep, terr := s.ip.NewEndpoint(icmpOf(a), protocolOf(a), &wq)
	if terr != nil {
		return fail(stackError("socket", terr))
	}
	defer ep.Close()
	took, err := exchange(ctx, ep, &wq, a)
	if err != nil {
		return fail(err)
	}
	return took, nil
}

// exchange sends the request and waits for its reply.
func exchange(ctx context.Context, ep tcpip.Endpoint, wq *waiter.Queue, a netip.Addr) (time.Duration, error) {
	if err := ep.Connect(tcpip.FullAddress{Addr: tcpip.AddrFromSlice(a.AsSlice())}); err != nil {
		return 0, stackError("connect", err)
	}
	entry, readable := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventHUp | waiter.EventErr)
	wq.EventRegister(&entry)
	defer wq.EventUnregister(&entry)

	request := echoRequest(a)
	sent := time.Now()
	if _, err := ep.Write(bytes.NewReader(request), tcpip.WriteOptions{}); err != nil {
		return 0, stackError("write", err)
	}
	for {
		var reply bytes.Buffer
		_, err := ep.Read(&reply, tcpip.ReadOptions{})
		if _, wait := err.(*tcpip.ErrWouldBlock); wait {
			select {
			case <-ctx.Done():
				return 0, contextError(ctx)
			case <-readable:
				continue
			}
		}
		if err != nil {
			return 0, stackError("read", err)
		}
		if b := reply.Bytes(); len(b) > echoHeaderLen && bytes.Equal(b[echoHeaderLen:], request[echoHeaderLen:]) {
			return time.Since(sent), nil
		}
	}
}

// echoRequest returns a request, in which the stack is going to set
// identifier and checksum.
func echoRequest(a netip.Addr) []byte {
	b := make([]byte, echoHeaderLen+echoCookieLen)
	b[0] = byte(header.ICMPv6EchoRequest)
	if a.Is4() {
		b[0] = byte(header.ICMPv4Echo)
	}
	b[7] = 1                     // sequence number
	rand.Read(b[echoHeaderLen:]) // never fails, by its documentation
	return b
}

func icmpOf(a netip.Addr) tcpip.TransportProtocolNumber {
	if a.Is4() {
		return icmp.ProtocolNumber4
	}
	return icmp.ProtocolNumber6
}
