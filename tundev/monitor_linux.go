package tundev

import (
	"encoding/binary"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// pollEvery is how often the state of an interface is asked for where the
// kernel does not tell: when it has been moved to another network namespace.
const pollEvery = time.Second

// monitor turns the kernel's notices about one interface into events. Its
// goroutine ends with stop. It never blocks stop, whether or not anybody reads
// the events, which wireguard-go's own listener does.
type monitor struct {
	events chan tun.Event // closed by run
	done   chan struct{}  // closed by stop
	ended  chan struct{}  // closed by run
	notice *os.File       // rtnetlink socket, nil where the system has none
	index  int32
	probe  func() (up, known bool) // asks the descriptor itself

	up  bool
	mtu uint32
}

// newMonitor watches the interface with the given index in the network
// namespace of the calling thread. It takes over notice, which may be nil.
func newMonitor(notice *os.File, index int, probe func() (up, known bool)) *monitor {
	m := &monitor{
		events: make(chan tun.Event, guardEvents),
		done:   make(chan struct{}),
		ended:  make(chan struct{}),
		notice: notice,
		index:  int32(index),
		probe:  probe,
	}
	go m.run()
	return m
}

// stop ends the goroutine and waits for it. It must be called once.
func (m *monitor) stop() {
	close(m.done)
	if m.notice != nil {
		m.notice.Close()
	}
	<-m.ended
}

func (m *monitor) run() {
	defer close(m.ended)
	defer close(m.events)
	if m.notice != nil && !m.listen() {
		return
	}
	m.poll()
}

// listen follows rtnetlink until stop (false) or until the interface is gone
// from this namespace (true).
func (m *monitor) listen() (goOn bool) {
	m.ask()
	buf := make([]byte, 1<<16)
	for {
		n, err := m.notice.Read(buf)
		switch {
		case err == nil:
			if gone := m.messages(buf[:n]); gone {
				return true
			}
		case errors.Is(err, unix.ENOBUFS): // notices were lost: ask anew
			m.ask()
		default:
			select {
			case <-m.done:
				return false
			default:
				return true
			}
		}
	}
}

// ask requests the state of the interface; the answer looks like a notice.
func (m *monitor) ask() {
	req := make([]byte, unix.SizeofNlMsghdr+unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(req[0:], uint32(len(req)))
	binary.NativeEndian.PutUint16(req[4:], unix.RTM_GETLINK)
	binary.NativeEndian.PutUint16(req[6:], unix.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(req[unix.SizeofNlMsghdr+4:], uint32(m.index))
	m.notice.Write(req) // a failure costs the first event only
}

// messages reads the netlink messages in b (RFC 3549 §2.3.2) and reports
// whether one says that the interface is gone.
func (m *monitor) messages(b []byte) (gone bool) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return false
		}
		kind := binary.NativeEndian.Uint16(b[4:])
		link, mine := m.link(b[unix.SizeofNlMsghdr:size])
		switch {
		case mine && kind == unix.RTM_NEWLINK:
			m.update(link.up, link.mtu)
		case mine && kind == unix.RTM_DELLINK:
			return true
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return false
}

type linkState struct {
	up  bool
	mtu uint32
}

// link reads an ifinfomsg with its attributes (rtnetlink(7)).
func (m *monitor) link(b []byte) (s linkState, mine bool) {
	const running = unix.IFF_UP | unix.IFF_RUNNING
	if len(b) < unix.SizeofIfInfomsg || int32(binary.NativeEndian.Uint32(b[4:])) != m.index {
		return s, false
	}
	s.up = binary.NativeEndian.Uint32(b[8:])&running == running
	for b = b[unix.SizeofIfInfomsg:]; len(b) >= unix.SizeofRtAttr; {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			break
		}
		if binary.NativeEndian.Uint16(b[2:]) == unix.IFLA_MTU && size >= unix.SizeofRtAttr+4 {
			s.mtu = binary.NativeEndian.Uint32(b[unix.SizeofRtAttr:])
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return s, true
}

// poll asks the descriptor, which works across namespaces. Where it cannot
// tell, the interface counts as up: a VPN service hands it over that way.
func (m *monitor) poll() {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		up, known := m.probe()
		switch {
		case known:
			m.update(up, m.mtu)
		case m.notice == nil:
			m.update(true, m.mtu)
		}
		select {
		case <-tick.C:
		case <-m.done:
			return
		}
	}
}

// update sends what has changed. The first state is "down", silently, and the
// first MTU is no change.
func (m *monitor) update(up bool, mtu uint32) {
	if up != m.up {
		m.up = up
		if up {
			m.send(tun.EventUp)
		} else {
			m.send(tun.EventDown)
		}
	}
	if mtu != m.mtu && mtu != 0 {
		first := m.mtu == 0
		m.mtu = mtu
		if !first {
			m.send(tun.EventMTUUpdate)
		}
	}
}

func (m *monitor) send(e tun.Event) {
	select {
	case m.events <- e:
	case <-m.done:
	}
}

// openNotices opens an rtnetlink socket that is told of links, in the network
// namespace of the calling thread.
func openNotices() (*os.File, error) {
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
