package bind

import (
	"encoding/binary"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// maxSegments is how many datagrams the kernel cuts out of one
	// (linux/udp.h, UDP_MAX_SEGMENTS; 128 since Linux 6.9).
	maxSegments = 64
	// maxPayload is the length of the longest datagram in bytes, with the longer header
	// of both families counted (RFC 791 §3.1, RFC 768).
	maxPayload = 1<<16 - 1 - 20 - 8
)

// sendCall is the memory of one system call that sends. Each of its messages is
// datagrams of one length, of which only the last may be shorter, and which the kernel
// cuts it into again (UDP_SEGMENT).
type sendCall struct {
	name    [unix.SizeofSockaddrInet6]byte
	namelen int
	source  []byte // control message with the address to send from, or nothing
	zone    zone

	headers [maxBuffers]header
	vector  [maxBuffers]unix.Iovec
	control [maxBuffers][96]byte // of each message: source, and the datagrams' length
	used    int                  // of vector, since forget

	pending []header // what is to be sent
	sent    int      // how many of these were
	errno   syscall.Errno
	once    func(fd uintptr)      // the system call, made once
	waiting func(fd uintptr) bool // the same, for as long as there is no room
}

func newSendCall() *sendCall {
	c := new(sendCall)
	c.once = func(fd uintptr) {
		for c.errno = unix.EINTR; c.errno == unix.EINTR; {
			c.sent, c.errno = sendMessages(fd, c.pending)
		}
	}
	c.waiting = func(fd uintptr) bool {
		c.once(fd)
		return c.errno != unix.EAGAIN
	}
	return c
}

// address says where to send to, and from.
func (c *sendCall) address(to netip.AddrPort, source []byte) {
	c.source = source
	binary.BigEndian.PutUint16(c.name[2:], to.Port())
	if to.Addr().Is4() {
		a := to.Addr().As4()
		binary.NativeEndian.PutUint16(c.name[:], unix.AF_INET)
		c.namelen = unix.SizeofSockaddrInet4
		copy(c.name[4:8], a[:])
		clear(c.name[8:c.namelen])
		return
	}
	a := to.Addr().As16()
	binary.NativeEndian.PutUint16(c.name[:], unix.AF_INET6)
	c.namelen = unix.SizeofSockaddrInet6
	clear(c.name[4:8])
	copy(c.name[8:24], a[:])
	binary.NativeEndian.PutUint32(c.name[24:], c.zone.index(to.Addr().Zone()))
}

// fill makes messages of bufs, with more than one datagram in a message if segments is
// set, and returns them.
func (c *sendCall) fill(bufs [][]byte, segments bool) []header {
	n := 0
	c.used = max(c.used, len(bufs))
	for at := 0; len(bufs) > 0; {
		count := 1
		if segments {
			count = alike(bufs)
		}
		vector := c.vector[at : at+count]
		for i, buf := range bufs[:count] {
			vector[i].Base = unsafe.SliceData(buf)
			vector[i].SetLen(len(buf))
		}
		c.headers[n].send(vector, c.name[:c.namelen], c.controlOf(n, count, len(bufs[0])))
		bufs = bufs[count:]
		at += count
		n++
	}
	return c.headers[:n]
}

// alike returns how many of bufs, from the first on, can be one message.
func alike(bufs [][]byte) int {
	length, total := len(bufs[0]), 0
	for i, buf := range bufs[:min(len(bufs), maxSegments)] {
		total += len(buf)
		switch {
		case len(buf) > length || total > maxPayload && i > 0:
			return i
		case len(buf) < length:
			return i + 1
		}
	}
	return min(len(bufs), maxSegments)
}

// controlOf returns the control messages of message n.
func (c *sendCall) controlOf(n, datagrams, length int) []byte {
	control := append(c.control[n][:0], c.source...)
	if datagrams < 2 {
		return control
	}
	var h unix.Cmsghdr
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	control = append(control, unsafe.Slice((*byte)(unsafe.Pointer(&h)), unix.SizeofCmsghdr)...)
	control = binary.NativeEndian.AppendUint16(control, uint16(length))
	return append(control, make([]byte, unix.CmsgSpace(2)-unix.CmsgLen(2))...)
}

// transmit sends messages and returns how many of them were sent, and why the next one
// was not.
func (c *sendCall) transmit(socket syscall.RawConn, messages []header) (int, error) {
	c.pending = messages
	err := socket.Control(c.once) // holds up nobody else who sends
	if err == nil && c.errno == unix.EAGAIN {
		err = socket.Write(c.waiting)
	}
	if err == nil && c.errno != 0 {
		return 0, os.NewSyscallError("sendmmsg", c.errno)
	}
	if err != nil {
		return 0, err
	}
	return c.sent, nil
}

// forget lets go of what the last call sent.
func (c *sendCall) forget() {
	clear(c.vector[:c.used])
	c.used = 0
	c.source, c.pending = nil, nil
}
