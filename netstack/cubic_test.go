package netstack

import (
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/faketime"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/pipe"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// lossy loses one long packet when told to.
type lossy struct {
	stack.LinkEndpoint
	drop atomic.Bool
}

func (l *lossy) WritePackets(p stack.PacketBufferList) (int, tcpip.Error) {
	if p.AsSlice()[0].Size() > 1000 && l.drop.Swap(false) {
		return p.Len(), nil
	}
	return l.LinkEndpoint.WritePackets(p)
}

// cubicStack returns a bare stack of gVisor's, with its congestion control as
// newIP has it, whose clock is the test's.
func cubicStack(t *testing.T, clock tcpip.Clock, l stack.LinkEndpoint, a tcpip.Address) *stack.Stack {
	ip := stack.New(stack.Options{
		Clock:              clock,
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocolCUBIC},
	})
	t.Cleanup(ip.Destroy)
	if err := ip.CreateNIC(nicID, l); err != nil {
		t.Fatal(err)
	}
	ip.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nicID}})
	addr := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: a.WithPrefix()}
	if err := ip.AddProtocolAddress(nicID, addr, stack.AddressProperties{}); err != nil {
		t.Fatal(err)
	}
	return ip
}

// readAll counts what the one connection to l gets.
func readAll(l net.Listener) *atomic.Int64 {
	read := new(atomic.Int64)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		for b := make([]byte, 64<<10); err == nil; {
			var n int
			n, err = c.Read(b)
			read.Add(int64(n))
		}
	}()
	return read
}

// CUBIC's window grows with the third power of the time since the last loss
// (RFC 9438 §4.2), which overflowed gVisor's arithmetic on connections that last
// for days, and stopped them (gVisor's issue 11632).
func TestCubicAfterDays(t *testing.T) {
	clock := faketime.NewManualClock()
	first, second := pipe.New("", "", 1500)
	path := &lossy{LinkEndpoint: first}
	at := tcpip.FullAddress{NIC: nicID, Addr: tcpip.AddrFrom4([4]byte{100, 64, 0, 2}), Port: 80}
	a, b := cubicStack(t, clock, path, tcpip.AddrFrom4([4]byte{100, 64, 0, 1})), cubicStack(t, clock, second, at.Addr)
	l, err := gonet.ListenTCP(b, at, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	read := readAll(l)
	c, err := gonet.DialContextTCP(t.Context(), a, at, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sent := int64(0)
	send := func(what string, n int) {
		if _, err := c.Write(make([]byte, n)); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		sent += int64(n)
		for until := time.Now().Add(20 * time.Second); read.Load() < sent; time.Sleep(time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("%s: %d of %d bytes came", what, read.Load(), sent)
			}
			clock.Advance(5 * time.Millisecond)
		}
	}
	send("at first", 100<<10)
	path.drop.Store(true)
	send("with a loss", 100<<10) // from which the time counts
	for _, days := range []time.Duration{1, 8} {
		clock.Advance(days * 24 * time.Hour)
		send(strconv.Itoa(int(days))+" days later", 4<<10)
		send(strconv.Itoa(int(days))+" days later, more", 200<<10)
	}
}
