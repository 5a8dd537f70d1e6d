package e2e_test

import (
	"errors"
	"flag"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/packet"
)

var closes = flag.Int("closes", 100, "how often Wrappers on real TUNs are closed in the middle of everything")

// TestCloseAtEveryMoment closes Wrappers on a kernel's TUNs in mid-traffic: packets
// go both ways and are injected, and filters change.
func TestCloseAtEveryMoment(t *testing.T) {
	host, dev := rig.NewHost(t, rig.TUNOfNew(t))
	dev.Close()
	c := host.UDPSocket(t, func() (*net.UDPConn, error) { return net.ListenUDP("udp4", nil) })
	r := rand.New(rand.NewPCG(7, 7))
	before, others, longest := 0, goleak.IgnoreCurrent(), time.Duration(0)
	for i := range *closes {
		m := &moment{t: t, host: host, socket: c}
		m.w = tstun.Wrap(nil, m.device(host.Open(t, rig.TUNOfNew(t)), i))
		m.run(closeWays[i%len(closeWays)], time.Duration(r.IntN(4000))*time.Microsecond)
		longest = max(longest, time.Duration(m.longest.Load()))
		if t.Failed() {
			t.Fatalf("closing %d, way %d", i, i%len(closeWays))
		}
		if i%20 == 0 {
			goleak.VerifyNone(t, others)
		}
		if i == 10 { // after what the runtime opens for itself
			before = rig.Descriptors(t)
		}
	}
	t.Logf("%d closings, the longest took %v", *closes, longest)
	goleak.VerifyNone(t, others)
	if n := rig.Descriptors(t); *closes > 10 && n != before {
		t.Errorf("%d descriptors open, %d after the first closings", n, before)
	}
}

// moment is one Wrapper, from Wrap to Close.
type moment struct {
	t       *testing.T
	host    *rig.Host
	socket  *net.UDPConn // of the host
	w       *tstun.Wrapper
	users   sync.WaitGroup
	inHook  atomic.Int64 // packets until a hook closes; 0: none does
	longest atomic.Int64 // time that a Close took, in ns

	made, released atomic.Int64 // PacketBuffers
}

// device returns the TUN, for one closing in three as a device that can do no more
// than tun.Device.
func (m *moment) device(dev tun.Device, i int) tun.Device {
	if i%3 == 2 {
		return rig.Foreign{Device: dev}
	}
	return dev
}

// closeWays are ways to close a Wrapper. Each waits at most so long before, and
// returns when the Wrapper is closed.
var closeWays = []func(m *moment, wait time.Duration){
	func(m *moment, wait time.Duration) { m.start(); <-time.After(wait); m.close() },
	func(m *moment, _ time.Duration) { m.start(); m.close() },
	func(m *moment, _ time.Duration) { m.close(); m.start() }, // before the first Read
	func(m *moment, wait time.Duration) { // twice at once
		m.start()
		<-time.After(wait)
		var both sync.WaitGroup
		both.Go(m.close)
		both.Go(m.close)
		both.Wait()
	},
	func(m *moment, wait time.Duration) { // from a hook
		m.inHook.Store(1 + int64(wait/time.Microsecond))
		m.start()
		m.users.Wait()
	},
}

func (m *moment) run(way func(*moment, time.Duration), wait time.Duration) {
	m.t.Helper()
	hook := func(*packet.Parsed, *tstun.Wrapper) filter.Response {
		if m.inHook.Add(-1) == 0 {
			m.close()
		}
		return filter.Accept
	}
	m.w.PreFilterIn, m.w.PostFilterOut = hook, hook
	m.w.SetFilter(filter.NewAllowAll(nil))
	m.w.SetStatisticsEnabled(true)
	m.host.Configure(m.t, host4)
	rig.Soon(m.t, "somebody", func() {
		way(m, wait)
		m.users.Wait()
	})
	rig.WantAllClosed(m.t, m.w)
	if err := m.w.Close(); err != nil {
		m.t.Errorf("Close: %v", err)
	}
	if m.made.Load() != m.released.Load() {
		m.t.Errorf("%d PacketBuffers made, %d released", m.made.Load(), m.released.Load())
	}
}

func (m *moment) close() {
	start := time.Now()
	if err := m.w.Close(); err != nil {
		m.t.Errorf("Close: %v", err)
	}
	d := time.Since(start)
	if d > time.Second {
		m.t.Errorf("Close took %v", d)
	}
	m.longest.Store(max(m.longest.Load(), int64(d)))
}

// start starts the readers, writers, injectors and changers, which run until the
// Wrapper is closed.
func (m *moment) start() {
	out, in := craft.UDP(host4, 1, peer4, 9, "out"), craft.UDP(peer4, 9, host4, 1, "in")
	for range 2 {
		m.users.Go(m.read)
		m.until("Write", func() error {
			_, err := m.w.Write(rig.Wire(in, in), offset)
			return err
		})
	}
	m.until("InjectOutbound", func() error { return m.w.InjectOutbound(append([]byte(nil), out...)) })
	m.until("InjectOutboundPacketBuffer", func() error { return m.w.InjectOutboundPacketBuffer(m.super(host4, peer4)) })
	m.until("InjectInboundPacketBuffer", func() error { return m.w.InjectInboundPacketBuffer(m.super(peer4, host4)) })
	m.until("", func() error { m.w.ExtractStatistics(); return nil })
	m.until("", func() error {
		f, err := filter.New(filter.Config{Matches: []filter.Match{rig.Everything()}, Local: rig.Local(), State: m.w.GetFilter().State()})
		m.w.SetFilter(f)
		return err
	})
	m.until("", func() error { // fails when the TUN is gone
		_, _ = m.socket.WriteToUDPAddrPort([]byte("out"), netip.AddrPortFrom(peer4, 9))
		return nil
	})
}

func (m *moment) read() {
	bufs, sizes := rig.Buffers(16), make([]int, 16)
	for {
		if _, err := m.w.Read(bufs, sizes, offset); err != nil {
			rig.WantClosed(m.t, "Read", err)
			return
		}
	}
}

// until calls f until f fails because the Wrapper is closed. Without a name it
// calls f until an injection fails so.
func (m *moment) until(name string, f func() error) {
	m.users.Go(func() {
		for {
			err := f()
			switch {
			case err == nil && name == "":
				if err = m.w.InjectOutbound(nil); err != nil {
					return
				}
			case err == nil || errors.Is(err, tstun.ErrQueueFull):
			default:
				rig.WantClosed(m.t, name, err)
				return
			}
			runtime.Gosched()
		}
	})
}

func (m *moment) super(src, dst netip.Addr) *stack.PacketBuffer {
	m.made.Add(1)
	return rig.GSOBuffer(craft.TCP(src, 1, dst, 9, packet.TCPAck, string(make([]byte, 10_000))),
		stack.GSO{Type: stack.GSOTCPv4, NeedsCsum: true, CsumOffset: 16, MSS: 1000, L3HdrLen: 20, MaxSize: 1 << 16},
		func() { m.released.Add(1) })
}
