package e2e_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"tstun"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/internal/rig/race"
	"tstun/packet"
)

// udpFlow is a flow of numbered UDP packets from one side to the other.
type udpFlow struct {
	name string
	port uint16 // source
	size int    // the longest payload in bytes
	rate int    // packets per second
	v6   bool
	via  func(s *side, pkt []byte) error // nil: a socket of the host
}

var flows = []udpFlow{
	{name: "UDP over IPv4", port: 6001, size: 1200, rate: 1500},
	{name: "UDP over IPv6", port: 6002, size: 1200, rate: 1500, v6: true},
	{name: "fragmented over IPv4", port: 6003, size: 9000, rate: 30},
	{name: "fragmented over IPv6", port: 6004, size: 9000, rate: 30, v6: true},
	{name: "injected outbound", port: 6005, size: 1200, rate: 300, via: func(s *side, pkt []byte) error {
		return s.W.InjectOutbound(pkt)
	}},
	{name: "injected outbound, of gVisor's", port: 6006, size: 1200, rate: 300, v6: true, via: func(s *side, pkt []byte) error {
		return s.W.InjectOutboundPacketBuffer(rig.GSOBuffer(pkt, stack.GSO{}, nil))
	}},
	{name: "injected inbound", port: 6007, size: 1200, rate: 300, via: func(s *side, pkt []byte) error {
		s.peer.injected++
		return s.peer.W.InjectInboundCopy(pkt)
	}},
}

// arrivals are the packets of a flow that arrived.
type arrivals struct {
	sent uint64 // owned by the sender
	came atomic.Uint64
	seen []uint64 // a bit for each that came; owned by the receiver
}

// take records a packet. It reports false if the packet was not sent, or arrived
// before. Order does not matter: packets may overtake each other on loopback,
// between the WireGuard sockets.
func (a *arrivals) take(p []byte) bool {
	n := binary.BigEndian.Uint64(p)
	for n/64 >= uint64(len(a.seen)) {
		a.seen = append(a.seen, 0)
	}
	twice := a.seen[n/64]&(1<<(n%64)) != 0
	a.seen[n/64] |= 1 << (n % 64)
	a.came.Add(1)
	return !twice && bytes.Equal(p, craft.Numbered(make([]byte, len(p)), n, 0, 1))
}

// receive starts the receivers of the flows to s, which end with the test.
func (s *side) receive(t *testing.T) {
	t.Helper()
	var receivers sync.WaitGroup
	t.Cleanup(receivers.Wait)
	for _, addr := range s.Addrs {
		c := s.ListenUDP(t, netip.AddrPortFrom(addr, allowedPort))
		receivers.Go(func() {
			buf := make([]byte, 1<<16)
			for {
				n, from, err := c.ReadFromUDPAddrPort(buf)
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if a := s.flows[from.Port()]; err != nil || a == nil || !a.take(buf[:n]) {
					t.Errorf("%s: %d bytes from %v that were not sent, or came before: %v", s.name, n, from, err)
					return
				}
			}
		})
	}
}

// sender returns a task that sends a flow at its rate.
func (s *side) sender(t *testing.T, f udpFlow) func(context.Context) {
	from, to := netip.AddrPortFrom(s.Addrs[0], f.port), netip.AddrPortFrom(s.peer.Addrs[0], allowedPort)
	if f.v6 {
		from, to = netip.AddrPortFrom(s.Addrs[1], f.port), netip.AddrPortFrom(s.peer.Addrs[1], allowedPort)
	}
	a := s.peer.flows[f.port]
	r := rand.New(rand.NewPCG(uint64(f.port), a.sent))
	return func(ctx context.Context) {
		send := func(payload []byte) error {
			return f.via(s, craft.UDP(from.Addr(), from.Port(), to.Addr(), to.Port(), string(payload)))
		}
		if f.via == nil {
			var c *net.UDPConn
			if err := s.NS.Do(func() (err error) {
				c, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(from), net.UDPAddrFromAddrPort(to))
				return err
			}); err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			send = func(payload []byte) error { _, err := c.Write(payload); return err }
		}
		start, sent, rate := time.Now(), 0, f.rate
		if race.Enabled {
			rate /= 5 // wireguard-go takes that much longer
		}
		every(ctx, 2*time.Millisecond, func() {
			for due := int(time.Since(start).Seconds() * float64(rate)); sent < due; sent++ {
				size := craft.Numbers + r.IntN(f.size-craft.Numbers)
				switch err := send(craft.Numbered(make([]byte, size), a.sent, 0, 1)); {
				case err == nil:
					a.sent++
				case !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, tstun.ErrQueueFull):
					t.Errorf("%s: %s: %v", s.name, f.name, err)
					return
				}
			}
		})
	}
}

// transfers moves data to a listener of the other side over TCP, one transfer
// after the other.
func (s *side) transfers(ctx context.Context, t *testing.T, l net.Listener) {
	for ctx.Err() == nil {
		sent, came, err := transferHashed(s.Host, l, 1<<20)
		if err != nil || sent != came {
			t.Errorf("%s: TCP to %v: %v; %x arrived of %x", s.name, l.Addr(), err, came[:4], sent[:4])
			return
		}
		s.mu.Lock()
		s.transferred++
		s.mu.Unlock()
	}
}

// knock dials the denied port.
func (s *side) knock(ctx context.Context, t *testing.T) {
	every(ctx, 100*time.Millisecond, func() {
		err := s.NS.Do(func() error {
			c, err := net.DialTimeout("tcp", netip.AddrPortFrom(s.peer.Addrs[0], deniedPort).String(), 20*time.Second)
			if err == nil {
				c.Close()
			}
			return err
		})
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: dialling a denied port: %v, want refused", s.name, err)
		}
		s.mu.Lock()
		s.refused++
		s.mu.Unlock()
	})
}

// pinger sends echo requests and receives the replies, however late.
type pinger struct {
	c    net.PacketConn
	to   net.Addr
	typ  byte // of a request
	sent uint64
	got  arrivals
}

// newPingers opens the side's raw sockets, one for each version of IP, until
// the end of the test.
func (s *side) newPingers(t *testing.T) (pingers []*pinger) {
	t.Helper()
	var receivers sync.WaitGroup
	t.Cleanup(receivers.Wait)
	for i, network := range []string{"ip4:icmp", "ip6:ipv6-icmp"} {
		p := &pinger{to: &net.IPAddr{IP: s.peer.Addrs[i].AsSlice()}, typ: []byte{8, 128}[i]}
		if err := s.NS.Do(func() (err error) {
			p.c, err = net.ListenPacket(network, s.Addrs[i].String())
			return err
		}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.c.Close() })
		receivers.Go(func() { p.receive(t) })
		pingers = append(pingers, p)
	}
	return pingers
}

// echoHeader is the length of type, code, checksum, identifier and sequence number
// (RFC 792, RFC 4443 §4).
const echoHeader = 8

func (p *pinger) receive(t *testing.T) {
	answer := map[byte]byte{8: 0, 128: 129}[p.typ]
	buf := make([]byte, 2000)
	for {
		n, from, err := p.c.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			t.Errorf("ping: %v", err)
			return
		}
		if n > echoHeader && buf[0] == answer && !p.got.take(buf[echoHeader:n]) {
			t.Errorf("an answer from %v to no request, or the second one: %x", from, buf[:n])
		}
	}
}

func (p *pinger) send() error {
	b := append(make([]byte, echoHeader), craft.Numbered(make([]byte, 56), p.sent, 0, 1)...)
	b[0] = p.typ
	binary.BigEndian.PutUint16(b[4:], uint16(p.typ))
	binary.BigEndian.PutUint16(b[6:], uint16(p.sent))
	binary.BigEndian.PutUint16(b[2:], ^packet.Checksum(b, 0)) // over IPv6 the kernel does it
	_, err := p.c.WriteTo(b, p.to)
	if err == nil {
		p.sent++
	}
	return err
}

func (p *pinger) ping(ctx context.Context, t *testing.T) {
	every(ctx, 50*time.Millisecond, func() {
		if err := p.send(); err != nil && !errors.Is(err, unix.ENOBUFS) {
			t.Errorf("ping %v: %v", p.to, err)
		}
	})
}
