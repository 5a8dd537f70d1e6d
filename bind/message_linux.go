package bind

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// header is struct mmsghdr (include/linux/socket.h).
type header struct {
	unix.Msghdr
	length uint32 // bytes that the last call sent or received
}

// beside is what comes with a message.
type beside struct {
	name [unix.SizeofSockaddrInet6]byte // the longer one of both families
	// control has room for an address of ours and for the length of what was
	// coalesced, and for as much again.
	control [128]byte
}

// aim points the header at memory for the next message.
func (h *header) aim(vector []unix.Iovec, b *beside) {
	h.Iov = &vector[0]
	h.SetIovlen(len(vector))
	h.Name, h.Namelen = &b.name[0], uint32(len(b.name))
	h.Control = &b.control[0]
	h.SetControllen(len(b.control))
}

// send makes the header that of a message to name.
func (h *header) send(vector []unix.Iovec, name, control []byte) {
	h.Iov = &vector[0]
	h.SetIovlen(len(vector))
	h.Name, h.Namelen = &name[0], uint32(len(name))
	h.Control = unsafe.SliceData(control)
	h.SetControllen(len(control))
}

// sendMessages makes the system call sendmmsg, which does not wait, and returns the number
// of messages that were sent.
func sendMessages(fd uintptr, headers []header) (int, syscall.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&headers[0])), uintptr(len(headers)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// receiveMessages makes the system call recvmmsg, which does not wait, and returns the
// number of messages.
func receiveMessages(fd uintptr, headers []header) (int, syscall.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&headers[0])), uintptr(len(headers)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// sender returns the socket address that the message came from.
func (h *header) sender() []byte { return unsafe.Slice(h.Name, h.Namelen) }

// controls calls f with each control message, also as the kernel wrote it.
func (h *header) controls(f func(level, kind int32, data, whole []byte)) {
	rest := unsafe.Slice(h.Control, h.Controllen)
	for len(rest) >= unix.SizeofCmsghdr {
		control, data, next, err := unix.ParseOneSocketControlMessage(rest)
		if err != nil {
			return
		}
		f(control.Level, control.Type, data, rest[:len(rest)-len(next)])
		rest = next
	}
}

// ancillary returns how long the datagrams are that are coalesced in the message, or 0
// (UDP_GRO: an int, see the kernel's udp_cmsg_recv), and the control message that says
// which address of ours it came to (IP_PKTINFO, IPV6_PKTINFO), or nil.
func (h *header) ancillary() (length int, to []byte) {
	h.controls(func(level, kind int32, data, whole []byte) {
		switch {
		case level == unix.SOL_UDP && kind == unix.UDP_GRO && len(data) >= 4:
			length = int(binary.NativeEndian.Uint32(data))
		case level == unix.IPPROTO_IP && kind == unix.IP_PKTINFO,
			level == unix.IPPROTO_IPV6 && kind == unix.IPV6_PKTINFO:
			to = whole
		}
	})
	return length, to
}
