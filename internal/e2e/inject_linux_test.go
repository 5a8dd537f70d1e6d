package e2e_test

import (
	"context"
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

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/packet"
)

var raceTime = flag.Duration("race.time", 2*time.Second, "how long injection races with reading, on each kind of device")

// Source ports tell streams apart.
const (
	portSingles  = 1001 // from the host, one by one
	portSupers   = 1002 // from the host, UDP GSO
	portInjected = 2000 // of the first injector
)

// TestInjectionRacesWithReading: the host sends while several goroutines inject.
// Read returns each packet once and in order, but for those that the kernel counts
// as dropped. A kernel with UDP segmentation offload drops whole super-packets; one
// without cuts them first, and drops single packets.
func TestInjectionRacesWithReading(t *testing.T) {
	for _, tt := range []struct {
		name string
		dev  func(tun.Device) tun.Device
	}{
		{"direct", itself},
		{"pump", func(dev tun.Device) tun.Device { return rig.Foreign{Device: dev} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host, w := openHost(t, host4, tt.dev)
			w.SetStatisticsEnabled(true)
			newStorm(t, host, w).run()
		})
	}
}

// openHost makes a host with one IPv4 address behind a Wrapper that lets everything
// pass. Its kernel sends nothing of its own accord. as returns the device that the
// Wrapper wraps.
func openHost(t *testing.T, addr netip.Addr, as func(tun.Device) tun.Device) (*rig.Host, *tstun.Wrapper) {
	t.Helper()
	host, dev := rig.NewHost(t, rig.TUNOfNew(t))
	w := tstun.Wrap(t.Logf, as(dev))
	t.Cleanup(func() { w.Close() })
	w.SetFilter(filter.NewAllowAll(nil))
	host.Only4(t)
	host.Configure(t, addr)
	return host, w
}

func itself(dev tun.Device) tun.Device { return dev }

// storm sends packets to a Wrapper from the host and by injection, and reads it
// with one goroutine.
type storm struct {
	t       *testing.T
	host    *rig.Host
	w       *tstun.Wrapper
	streams map[uint16]*craft.Stream // by source port; not changed while the reader runs
	expired <-chan struct{}          // when nothing can come any more
	expire  func()
	whole   bool // the kernel leaves the host's super-packets to the device

	passed        uint64 // owned by the reader
	full          atomic.Uint64
	made, release atomic.Int64 // PacketBuffers
}

func newStorm(t *testing.T, host *rig.Host, w *tstun.Wrapper) *storm {
	s := &storm{t: t, host: host, w: w, streams: make(map[uint16]*craft.Stream)}
	s.streams[portSingles], s.streams[portSupers] = craft.NewStream(true), craft.NewStream(true)
	for i := range s.injectors() {
		s.streams[uint16(portInjected+i)] = craft.NewStream(false)
	}
	return s
}

func (s *storm) run() {
	ctx, cancel := context.WithTimeout(s.t.Context(), *raceTime+60*time.Second)
	defer cancel()
	s.expired, s.expire = ctx.Done(), cancel
	s.whole = s.host.UDPOffload(s.t)
	before := s.host.Counters(s.t)
	var reader, senders sync.WaitGroup
	reader.Go(s.read)
	stop := make(chan struct{})
	timer := time.AfterFunc(*raceTime, func() { close(stop) })
	defer timer.Stop()
	singles, supers := s.socket(portSingles), s.socket(portSupers)
	senders.Go(func() { s.send(portSingles, stop, singles) })
	senders.Go(func() { s.send(portSupers, stop, supers) })
	for i, inject := range s.injectors() {
		senders.Go(func() { s.inject(uint16(portInjected+i), stop, inject) })
	}
	senders.Wait()
	s.whileIdle(singles)
	after := s.host.Counters(s.t)
	s.w.Close()
	rig.Soon(s.t, "the reader", reader.Wait)
	s.check(after.Tx.Dropped - before.Tx.Dropped)
}

// read reads batches of random sizes until the Wrapper is closed.
func (s *storm) read() {
	defer s.expire() // nobody need wait for what nobody reads
	r := rand.New(rand.NewPCG(1, 2))
	bufs, sizes := rig.Buffers(128), make([]int, 128)
	for {
		n, err := s.w.Read(bufs[:1+r.IntN(128)], sizes, offset)
		if err != nil {
			rig.WantClosed(s.t, "Read", err)
			return
		}
		if !s.acceptAll(bufs[:n], sizes) {
			s.w.Close()
			return
		}
	}
}

// acceptAll checks the packets of one Read.
func (s *storm) acceptAll(bufs [][]byte, sizes []int) bool {
	var p packet.Parsed
	for i, buf := range bufs {
		if sizes[i] == 0 {
			continue
		}
		if p.Decode(buf[offset : offset+sizes[i]]); !s.accept(&p) {
			return false
		}
	}
	return true
}

// accept checks the next packet.
func (s *storm) accept(p *packet.Parsed) bool {
	stream := s.streams[p.Src.Port()]
	if stream == nil {
		s.t.Errorf("unknown packet %v", p)
		return false
	}
	if err := stream.Accept(p.Payload()); err != nil {
		s.t.Errorf("%v: %v", p, err)
		return false
	}
	if s.passed++; s.passed%64 == 0 {
		craft.WantChecksums(s.t, p.Buffer())
	}
	return true
}

// unread is how many groups of one socket may be under way. Two sockets together
// exceed the TUN's queue, so that the kernel drops some now and then.
const unread = 300

// send sends from one of the host's sockets.
func (s *storm) send(port uint16, stop <-chan struct{}, c *net.UDPConn) {
	r := rand.New(rand.NewPCG(3, uint64(port)))
	stream := s.streams[port]
	atMost := 1
	if port == portSupers {
		atMost = 60 // UDP_MAX_SEGMENTS of linux/udp.h was 64
	}
	group := uint64(0)
	next := func() bool {
		of, size, last := craft.RandomSizes(r, atMost, 1200)
		payload, groups := craft.NumberedGroup(group, of, size, last), uint64(1)
		if !s.whole {
			payload, groups = craft.NumberedSingles(group, of, size, last), uint64(of)
		}
		err := rig.SendSegments(c, payload, size)
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			s.t.Errorf("send: %v", err)
			return false
		}
		if err == nil {
			group += groups
		}
		return true
	}
	for running := true; running; {
		select {
		case <-stop:
			running = false
		default:
			running = next() && stream.Wait(max(group, unread)-unread, s.expired)
		}
	}
	// A later packet tells whether the last ones were dropped.
	for next() && !stream.Wait(group, after(50*time.Millisecond)) {
		if isDone(s.expired) {
			s.t.Errorf("port %d: %d of %d groups came", port, stream.Seen.Load(), group)
			return
		}
	}
}

func after(d time.Duration) <-chan struct{} {
	c := make(chan struct{})
	time.AfterFunc(d, func() { close(c) })
	return c
}

func isDone(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// socket opens a socket of the host.
func (s *storm) socket(port uint16) *net.UDPConn {
	return s.host.DialUDP(s.t, netip.AddrPortFrom(host4, port), netip.AddrPortFrom(peer4, 9))
}

// inject injects without a pause until stop.
func (s *storm) inject(port uint16, stop <-chan struct{}, inject injectFunc) {
	r := rand.New(rand.NewPCG(5, uint64(port)))
	group := uint64(0)
	for ; !isDone(stop); group++ {
		if !s.injectOne(r, port, group, inject) {
			return
		}
	}
	if !s.streams[port].Wait(group, s.expired) {
		s.t.Errorf("port %d: %d of %d injected groups came", port, s.streams[port].Seen.Load(), group)
	}
}

// injectFunc injects packets of size bytes each but for the last. It may inject
// fewer than there are.
type injectFunc func(port uint16, group uint64, r *rand.Rand) error

// injectOne injects one group, again and again while the queue is full.
func (s *storm) injectOne(r *rand.Rand, port uint16, group uint64, inject injectFunc) bool {
	for {
		err := inject(port, group, r)
		if err == nil {
			return true
		}
		if !errors.Is(err, tstun.ErrQueueFull) {
			if !s.t.Failed() {
				s.t.Errorf("inject: %v", err)
			}
			return false
		}
		s.full.Add(1)
		runtime.Gosched()
	}
}

// injectors returns one injectFunc for each kind of injection.
func (s *storm) injectors() []injectFunc {
	single := func(src, dst netip.Addr, port uint16, group uint64, r *rand.Rand) []byte {
		payload := craft.Numbered(make([]byte, craft.Numbers+r.IntN(1200-craft.Numbers)), group, 0, 1)
		return craft.UDP(src, port, dst, 9, string(payload))
	}
	super := func(src, dst netip.Addr, typ stack.GSOType, header uint16) injectFunc {
		return func(port uint16, group uint64, r *rand.Rand) error {
			of, size, last := craft.RandomSizes(r, 50, 1200)
			pkt := craft.TCP(src, port, dst, 9, packet.TCPAck, string(craft.NumberedGroup(group, of, size, last)))
			return s.w.InjectOutboundPacketBuffer(s.packetBuffer(pkt, stack.GSO{
				Type: typ, NeedsCsum: true, CsumOffset: 16, MSS: uint16(size), L3HdrLen: header, MaxSize: 1 << 16,
			}))
		}
	}
	return []injectFunc{
		func(port uint16, group uint64, r *rand.Rand) error {
			return s.w.InjectOutbound(single(host4, peer4, port, group, r))
		},
		func(port uint16, group uint64, r *rand.Rand) error {
			return s.w.InjectOutbound(single(host6, peer6, port, group, r))
		},
		func(port uint16, group uint64, r *rand.Rand) error {
			return s.w.InjectOutboundPacketBuffer(s.packetBuffer(single(host4, peer4, port, group, r), stack.GSO{}))
		},
		super(host4, peer4, stack.GSOTCPv4, 20),
		super(host6, peer6, stack.GSOTCPv6, 40),
	}
}

func (s *storm) packetBuffer(b []byte, g stack.GSO) *stack.PacketBuffer {
	s.made.Add(1)
	return rig.GSOBuffer(b, g, func() { s.release.Add(1) })
}

// whileIdle injects and sends one packet at a time, while Read waits.
func (s *storm) whileIdle(c *net.UDPConn) {
	r := rand.New(rand.NewPCG(6, 6))
	injectors := s.injectors()
	for i := range 2000 {
		for range r.IntN(100) {
			runtime.Gosched() // so that Read comes to wait, now and then
		}
		k := r.IntN(len(injectors) + 1)
		port := uint16(portInjected + k)
		if k == len(injectors) {
			port = portSingles
		}
		stream := s.streams[port]
		group := stream.Seen.Load()
		if port != portSingles {
			if !s.injectOne(r, port, group, injectors[k]) {
				return
			}
		} else if _, err := c.Write(craft.NumberedGroup(group, 1, 100, 100)); err != nil {
			s.t.Errorf("send: %v", err)
			return
		}
		if !stream.Wait(group+1, after(10*time.Second)) {
			s.t.Errorf("packet %d, of port %d, does not come while all else is quiet", i, port)
			return
		}
	}
}

// check compares what was sent with what was read and with the counters.
func (s *storm) check(droppedByKernel uint64) {
	lost := s.streams[portSingles].Lost + s.streams[portSupers].Lost
	if lost != droppedByKernel {
		s.t.Errorf("%d of the host's sendings are lost, the kernel dropped %d", lost, droppedByKernel)
	}
	c := s.w.Counters()
	if c.Out.Packets != s.passed {
		s.t.Errorf("%d packets counted, %d read", c.Out.Packets, s.passed)
	}
	if full := s.full.Load(); c.QueueOverflows != full || c.Out.Dropped() != full {
		s.t.Errorf("%d injections found the queue full, counted %d and %+v", full, c.QueueOverflows, c.Out.Drops)
	}
	if s.made.Load() != s.release.Load() {
		s.t.Errorf("%d PacketBuffers made, %d released", s.made.Load(), s.release.Load())
	}
	var extracted uint64
	for _, n := range s.w.ExtractStatistics() {
		extracted += n.TxPackets
	}
	if extracted != s.passed {
		s.t.Errorf("statistics of %d packets, %d read", extracted, s.passed)
	}
	for port, stream := range s.streams {
		s.t.Logf("port %d: %d groups, %d packets, %d groups lost", port, stream.Group, stream.Packets, stream.Lost)
	}
	s.t.Logf("queue full %d times", s.full.Load())
}
