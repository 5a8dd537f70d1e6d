package tundev

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// linkUp has the flags of an interface that carries packets (netdevice(7)).
const linkUp = unix.IFF_UP | unix.IFF_RUNNING

// monitor turns the kernel's notifications about one interface into events. Its
// goroutine ends with stop. wireguard-go's own listener blocks when nobody
// reads the events.
type monitor struct {
	linkEvents
	device monitored
	ended  chan struct{} // closed by run
	index  int32

	mu            sync.Mutex // guards notifications between run, which replaces it, and stop
	notifications *os.File   // rtnetlink socket, or nil if the system has none
}

// monitored is the device whose interface a monitor watches.
type monitored interface {
	// state queries the state, where the kernel sends no notifications.
	state() (linkState, error)
	// reopen finds the interface in the network namespace that it has been
	// moved to. The caller owns the socket there, which is nil where the
	// system has none.
	reopen() (notifications *os.File, index int, err error)
}

// newMonitor watches the interface with the given index in the network
// namespace of the socket notifications. It takes the socket over, which may be
// nil.
func newMonitor(notifications *os.File, index int, device monitored) *monitor {
	m := &monitor{
		linkEvents:    newLinkEvents(),
		device:        device,
		ended:         make(chan struct{}),
		index:         int32(index),
		notifications: notifications,
	}
	go m.run(notifications)
	return m
}

// stop ends the goroutine and waits for it. It must be called once.
func (m *monitor) stop() {
	close(m.done)
	m.mu.Lock()
	if m.notifications != nil {
		m.notifications.Close()
	}
	m.mu.Unlock()
	<-m.ended
}

// run watches the interface in one network namespace after the other. When the
// interface is deleted, or the rights to watch it are missing, run sends no
// further events.
func (m *monitor) run(notifications *os.File) {
	defer close(m.ended)
	defer close(m.events)
	for notifications != nil {
		if gone := m.listen(notifications); !gone {
			break
		}
		m.update(linkState{}) // moving an interface takes it down
		var err error
		if notifications, err = m.move(); err != nil {
			<-m.done
			return
		}
	}
	m.poll(m.device.state)
}

// move replaces the socket by one in the interface's new namespace.
func (m *monitor) move() (*os.File, error) {
	notifications, index, err := m.device.reopen()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notifications.Close()
	m.notifications, m.index = notifications, int32(index)
	select {
	case <-m.done: // stop may have closed only the old socket
		if notifications != nil {
			notifications.Close()
		}
	default:
	}
	return notifications, nil
}

// listen reads notifications until the interface has left this namespace, when
// it reports true, or until stop or a failure.
func (m *monitor) listen(notifications *os.File) (gone bool) {
	m.ask(notifications)
	buf := make([]byte, 1<<16)
	for {
		n, err := notifications.Read(buf)
		switch {
		case err == nil:
			if gone := m.messages(buf[:n]); gone {
				return true
			}
		case errors.Is(err, unix.ENOBUFS): // the kernel dropped notifications
			m.ask(notifications)
		default:
			return false
		}
	}
}

// ask requests the state of the interface. The reply looks like a notification,
// or is an error if the interface has left this namespace.
func (m *monitor) ask(notifications *os.File) {
	req := make([]byte, unix.SizeofNlMsghdr+unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(req[0:], uint32(len(req)))
	binary.NativeEndian.PutUint16(req[4:], unix.RTM_GETLINK)
	binary.NativeEndian.PutUint16(req[6:], unix.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(req[unix.SizeofNlMsghdr+4:], uint32(m.index))
	notifications.Write(req) // if it fails, only the first event is missing
}

// messages reads the netlink messages in b (RFC 3549 §2.3.2). It reports whether
// one says that the interface has left this namespace.
func (m *monitor) messages(b []byte) (gone bool) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return false
		}
		kind := binary.NativeEndian.Uint16(b[4:])
		if kind == unix.NLMSG_ERROR && noDevice(b[unix.SizeofNlMsghdr:size]) {
			return true
		}
		link, mine := m.link(b[unix.SizeofNlMsghdr:size])
		switch {
		case mine && kind == unix.RTM_NEWLINK:
			m.update(link)
		case mine && kind == unix.RTM_DELLINK:
			return true
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return false
}

// noDevice reports whether an nlmsgerr says ENODEV: the reply to ask when the
// interface has left this namespace.
func noDevice(b []byte) bool {
	return len(b) >= 4 && int32(binary.NativeEndian.Uint32(b)) == -int32(unix.ENODEV)
}

// link reads an ifinfomsg with its attributes (rtnetlink(7)). It reports whether
// that is about the monitor's interface.
func (m *monitor) link(b []byte) (s linkState, mine bool) {
	if len(b) < unix.SizeofIfInfomsg || int32(binary.NativeEndian.Uint32(b[4:])) != m.index {
		return s, false
	}
	s.up = binary.NativeEndian.Uint32(b[8:])&linkUp == linkUp
	for b = b[unix.SizeofIfInfomsg:]; len(b) >= unix.SizeofRtAttr; {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			break
		}
		if binary.NativeEndian.Uint16(b[2:]) == unix.IFLA_MTU && size >= unix.SizeofRtAttr+4 {
			s.mtu = int(binary.NativeEndian.Uint32(b[unix.SizeofRtAttr:]))
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return s, true
}

// openNotifications opens an rtnetlink socket for notifications about links, in
// the network namespace of the calling thread.
func openNotifications() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("netlink socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("netlink bind", err)
	}
	return os.NewFile(uintptr(fd), "rtnetlink"), nil
}
