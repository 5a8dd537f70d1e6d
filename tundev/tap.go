package tundev

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/internal/deverr"
)

// TAP presents dev, an Ethernet TAP, as an IP TUN, and takes it over.
//
// Read strips the Ethernet header, so that the IP packet is at offset. To spare a
// copy it reads the frame into the 14 bytes before offset as well, and overwrites
// them. If that leaves dev less headroom than it needs, Read moves the packet. It
// drops frames that hold no IP and frames for other stations. It replies to ARP
// requests and IPv6 neighbour solicitations for any address with the MAC address
// 02:74:73:74:75:6e, but not to those by which the host tests whether an address
// of its own is in use.
//
// Write puts an Ethernet header in front of each packet, in the 14 bytes before
// offset, and leaves the bytes before these alone. If that leaves dev less
// headroom than it needs, Write copies the packets. It sends frames to the MAC
// address that the host last sent from, or to the broadcast address if the host
// has sent none.
//
// Devices of this package report the headroom that they need. Any other gets 4
// bytes, enough for wireguard-go's own devices of the BSDs.
//
// The device may be used from several goroutines if dev may. Read calls dev's
// Write for its replies.
func TAP(dev tun.Device) tun.Device { return newTAP(dev) }

func newTAP(dev tun.Device) *tap {
	need := familySize
	if d, ok := dev.(interface{ headroom() int }); ok {
		need = d.headroom()
	}
	return &tap{
		Device: dev,
		need:   need,
		copies: sync.Pool{New: func() any { return new(frames) }},
	}
}

type tap struct {
	tun.Device
	need   int           // least offset for Device
	host   atomic.Uint64 // the host's MAC address, or 0 if it has sent nothing yet
	copies sync.Pool     // of *frames

	stations *stations // nil: the host is the only station
}

// frames is memory for a batch of packets that have no room in front.
type frames struct {
	bufs [][]byte
}

// tapHeadroom is how many bytes are in front of frames that are copied or made
// here, for devices that need headroom.
const tapHeadroom = 16

func (t *tap) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	if offset < 0 {
		return 0, fmt.Errorf("read: offset %d", offset)
	}
	at := max(t.need, offset-etherSize)
	for {
		n, err := t.Device.Read(bufs, sizes, at)
		some := false
		for i := range n {
			sizes[i] = t.strip(bufs[i], at, sizes[i], offset)
			some = some || sizes[i] > 0
		}
		if some || err != nil || n == 0 {
			return n, err
		}
	}
}

// strip turns the frame of size bytes at buf[at:] into the packet at
// buf[offset:]. It returns the packet's size, or 0 if the frame holds none for us.
func (t *tap) strip(buf []byte, at, size, offset int) int {
	if size < etherSize || at+size > len(buf) {
		return 0
	}
	frame := buf[at : at+size]
	src := macAt(frame[6:])
	if src.multicast() || src == tapMAC {
		return 0
	}
	t.host.Store(uint64(src))
	if dst := macAt(frame); !dst.multicast() && dst != tapMAC {
		return 0
	}
	switch {
	case t.stations != nil && isNeighbourly(frame):
		t.hear(frame)
		return 0
	case asksNeighbour(frame):
		t.reply(frame)
		return 0
	case !holdsIP(frame):
		return 0
	case t.stations != nil:
		sender, _ := addrsOf(frame[etherSize:])
		t.stations.sent(sender, src, time.Now())
	}
	size -= etherSize
	if offset < at+etherSize {
		copy(buf[offset:], frame[etherSize:])
	}
	return size
}

// reply sends the reply to a request for a neighbour, if it gets one. If the
// device refuses the reply, the host asks again.
func (t *tap) reply(question []byte) {
	var reply [tapHeadroom + maxReply]byte
	if n := neighbourReply(reply[tapHeadroom:], question); n > 0 {
		t.Device.Write([][]byte{reply[:tapHeadroom+n]}, tapHeadroom)
	}
}

func (t *tap) Write(bufs [][]byte, offset int) (int, error) {
	if offset < 0 {
		return 0, fmt.Errorf("write: offset %d", offset)
	}
	if bad := t.firstBad(bufs, offset); bad >= 0 {
		return t.writeAround(bufs, offset, bad)
	}
	return t.writeGood(bufs, offset)
}

// writeGood writes IP packets.
func (t *tap) writeGood(bufs [][]byte, offset int) (int, error) {
	if t.stations != nil {
		return t.writeShared(bufs, offset)
	}
	return t.write(bufs, offset)
}

// firstBad returns the index of the first buffer without an IP packet, or -1 if
// all have one.
func (t *tap) firstBad(bufs [][]byte, offset int) int {
	for i, b := range bufs {
		if len(b) <= offset || etherType(b[offset]) == 0 {
			return i
		}
	}
	return -1
}

// writeAround writes the packets before and after a buffer that holds none. Its
// error says so.
func (t *tap) writeAround(bufs [][]byte, offset, bad int) (int, error) {
	n, err := t.writeGood(bufs[:bad], offset)
	if deverr.Closed(err) {
		return n, err
	}
	m, restErr := t.Write(bufs[bad+1:], offset)
	return n + m, errors.Join(withoutList(err), errNoIP, withoutList(restErr))
}

// withoutList returns err, of a Write of a part of the packets, without a list of those
// that were lost: its indices are the part's.
func withoutList(err error) error {
	if partial := new(WriteError); errors.As(err, &partial) {
		return partial.Err
	}
	return err
}

// errNoIP reports a packet that is neither IPv4 nor IPv6.
var errNoIP = fmt.Errorf("write: neither IPv4 nor IPv6: %w", syscall.EAFNOSUPPORT)

func (t *tap) write(bufs [][]byte, offset int) (int, error) {
	if len(bufs) == 0 {
		return 0, nil
	}
	if offset-etherSize < t.need {
		return t.writeCopies(bufs, offset)
	}
	t.putHeaders(bufs, offset)
	return t.Device.Write(bufs, offset-etherSize)
}

// putHeaders fills the 14 bytes before the packet in each buffer.
func (t *tap) putHeaders(bufs [][]byte, offset int) {
	host := mac(t.host.Load())
	if host == 0 {
		host = broadcastMAC
	}
	for _, b := range bufs {
		if t.stations != nil {
			host = t.stationFor(b[offset:])
		}
		putEther(b[offset-etherSize:], destination(b[offset:], host), tapMAC, etherType(b[offset]))
	}
}

func (t *tap) writeCopies(bufs [][]byte, offset int) (int, error) {
	const room = tapHeadroom + etherSize
	f := t.copies.Get().(*frames)
	defer t.copies.Put(f)
	for len(f.bufs) < len(bufs) {
		f.bufs = append(f.bufs, nil)
	}
	for i, b := range bufs {
		f.bufs[i] = append(append(f.bufs[i][:0], make([]byte, room)...), b[offset:]...)
	}
	t.putHeaders(f.bufs[:len(bufs)], room)
	return t.Device.Write(f.bufs[:len(bufs)], tapHeadroom)
}
