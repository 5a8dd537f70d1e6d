package tstun_test

import (
	"os"
	"strings"
	"testing"

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
// the host's.
func newLoad(t testing.TB, batch int, packets [][]byte, statistics bool) *load {
	dev := &endless{batch: batch, packets: mirrored(t, packets), closed: make(chan struct{})}
	w := tstun.Wrap(nil, dev)
	t.Cleanup(func() { w.Close() })
	f, err := filter.New(filter.Config{Matches: []filter.Match{to(port(80))}, Local: local()})
	if err != nil {
		t.Fatal(err)
	}
	w.SetFilter(f)
	w.SetStatisticsEnabled(statistics)
	return &load{t: t, w: w, packets: packets, bufs: makeBufs(batch), sizes: make([]int, batch)}
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
		l.next = (l.next + 1) % len(l.packets)
		l.bufs[i] = l.bufs[i][:offset+len(pkt)]
		copy(l.bufs[i][offset:], pkt[:40]) // headers; the payload does not matter
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
