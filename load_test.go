package tstun_test

import (
	"os"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/filter"
	"tstun/packet"
)

// load drives a Wrapper with the same packets over and over: into Write, and
// out of a device into Read. It is what allocation tests and benchmarks share.
type load struct {
	t       testing.TB
	w       *tstun.Wrapper
	packets [][]byte // pristine
	bufs    [][]byte // for one call
	sizes   []int
	next    int
}

// loads returns kinds of traffic between the peer and the host, as the peer
// sends it: enough packets for whole batches that cover all flows in turn.
func loads(batch, flows int) map[string][][]byte {
	n := max(batch, flows)
	if rest := n % batch; rest != 0 {
		n += batch - rest
	}
	kinds := map[string][][]byte{"udp": nil, "tcp": nil}
	payload := strings.Repeat("x", 1200)
	for i := range n {
		sport := uint16(1024 + i%flows)
		kinds["udp"] = append(kinds["udp"], udp(peer4, sport, host4, 80, payload))
		kinds["tcp"] = append(kinds["tcp"], tcp(peer4, sport, host4, 80, packet.TCPAck, payload))
	}
	return kinds
}

// newLoad makes a load whose device hands out the packets' mirror images as
// the host's, to the pump.
func newLoad(t testing.TB, batch int, packets [][]byte, statistics bool) *load {
	return newLoadOf(t, newEndless(t, batch, packets), packets, statistics)
}

// newDirectLoad is newLoad with a device that is read directly.
func newDirectLoad(t testing.TB, batch int, packets [][]byte, statistics bool) *load {
	return newLoadOf(t, endlessDirect{newEndless(t, batch, packets)}, packets, statistics)
}

func newLoadOf(t testing.TB, dev tun.Device, packets [][]byte, statistics bool) *load {
	batch := dev.BatchSize()
	w := tstun.Wrap(nil, dev)
	t.Cleanup(func() { w.Close() })
	f, err := filter.New(filter.Config{Matches: []filter.Match{to(port(80))}, Local: local()})
	if err != nil {
		t.Fatal(err)
	}
	w.SetFilter(f)
	w.SetStatisticsEnabled(statistics)
	return &load{t: t, w: w, packets: packets, bufs: messageBufs(batch), sizes: make([]int, batch)}
}

// messageBufs are of the size that wireguard-go's have, a power of two in
// memory: their fronts are in each other's way in a processor's cache.
func messageBufs(n int) [][]byte {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = make([]byte, device.MaxMessageSize)
	}
	return bufs
}

// mirrored returns the packets with source and destination swapped.
func mirrored(t testing.TB, packets [][]byte) [][]byte {
	out := make([][]byte, len(packets))
	for i, b := range packets {
		p := parse(t, b)
		if p.TCPFlags != 0 {
			out[i] = tcp(p.Dst.Addr(), p.Dst.Port(), p.Src.Addr(), p.Src.Port(), p.TCPFlags, string(p.Payload()))
		} else {
			out[i] = udp(p.Dst.Addr(), p.Dst.Port(), p.Src.Addr(), p.Src.Port(), string(p.Payload()))
		}
	}
	return out
}

// write sends the next batch from the peer.
func (l *load) write() {
	l.fill()
	if _, err := l.w.Write(l.bufs, offset); err != nil {
		l.t.Fatal(err)
	}
}

// writeBare writes the next batch to the device.
func (l *load) writeBare() {
	l.fill()
	if _, err := l.w.Unwrap().Write(l.bufs, offset); err != nil {
		l.t.Fatal(err)
	}
}

// fill makes the next batch.
func (l *load) fill() {
	for i := range l.bufs {
		pkt := l.packets[l.next]
		if l.next++; l.next == len(l.packets) {
			l.next = 0
		}
		l.bufs[i] = l.bufs[i][:offset+len(pkt)]
		copy(l.bufs[i][offset:], pkt[:40]) // headers; the payload does not matter
	}
}

// readBare takes a batch from the device.
func (l *load) readBare() {
	n, err := l.w.Unwrap().Read(l.bufs, l.sizes, offset)
	if err != nil || n == 0 {
		l.t.Fatal(n, err)
	}
}

// read takes a batch from the host.
func (l *load) read() {
	n, err := l.w.Read(l.bufs, l.sizes, offset)
	if err != nil || n == 0 {
		l.t.Fatal(n, err)
	}
}

// endless is a device that always has packets and takes all.
type endless struct {
	batch   int
	packets [][]byte
	next    int
	closed  chan struct{}
}

func newEndless(t testing.TB, batch int, packets [][]byte) *endless {
	return &endless{batch: batch, packets: mirrored(t, packets), closed: make(chan struct{})}
}

func (d *endless) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	select {
	case <-d.closed:
		return 0, os.ErrClosed
	default:
	}
	for i := range bufs {
		sizes[i] = copy(bufs[i][offset:], d.packets[d.next])
		d.next = (d.next + 1) % len(d.packets)
	}
	return len(bufs), nil
}

func (d *endless) Write(bufs [][]byte, _ int) (int, error) { return len(bufs), nil }
func (d *endless) File() *os.File                          { return nil }
func (d *endless) MTU() (int, error)                       { return 1280, nil }
func (d *endless) Name() (string, error)                   { return "endless0", nil }
func (d *endless) Events() <-chan tun.Event                { return nil }
func (d *endless) BatchSize() int                          { return d.batch }
func (d *endless) Close() error                            { close(d.closed); return nil }

// endlessDirect is an endless that is read directly. Its packets are in the
// caller's buffers already: of each it writes the headers alone.
type endlessDirect struct{ *endless }

func (d endlessDirect) ReadReady(bufs [][]byte, sizes []int, offset int, _ bool) (int, error) {
	for i := range bufs {
		pkt := d.packets[d.next]
		copy(bufs[i][offset:], pkt[:40])
		sizes[i] = len(pkt)
		if d.next++; d.next == len(d.packets) {
			d.next = 0
		}
	}
	return len(bufs), nil
}

func (d endlessDirect) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	return d.ReadReady(bufs, sizes, offset, true)
}

func (d endlessDirect) Interrupt()   {}
func (d endlessDirect) Abandon() int { return 0 }
