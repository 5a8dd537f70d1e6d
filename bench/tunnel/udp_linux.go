package tunnel

import (
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const (
	burst        = 64       // packets per system call
	socketBuffer = 16 << 20 // bytes, of a receiver
	datagram     = 2048     // bytes; the longest that is received
	tick         = time.Millisecond
)

// send offers packets to the socket for so long: as fast as the socket takes
// them, or at a rate, in a burst every tick.
func send(req request) (r reply, err error) {
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(req.To))
	if err != nil {
		return r, err
	}
	defer c.Close()
	s := sender{conn: ipv4.NewPacketConn(c), messages: make([]ipv4.Message, burst)}
	payload := make([]byte, req.Size)
	for i := range s.messages {
		s.messages[i].Buffers = [][]byte{payload}
	}
	start := time.Now()
	for r.Took < req.For && err == nil {
		due := s.sent + burst
		if req.Rate > 0 {
			time.Sleep(tick - r.Took%tick)
			due = int(time.Since(start).Seconds() * float64(req.Rate))
		}
		err = s.upTo(due)
		r.Took = time.Since(start)
	}
	r.Packets = s.sent
	return r, err
}

type sender struct {
	conn     *ipv4.PacketConn
	messages []ipv4.Message
	sent     int
}

// upTo sends until so many packets are sent in all.
func (s *sender) upTo(total int) error {
	for s.sent < total {
		n, err := s.conn.WriteBatch(s.messages[:min(burst, total-s.sent)], 0)
		// The kernel says what the packet before met: a full queue, or
		// nobody listening yet.
		if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.ECONNREFUSED) {
			return err
		}
		s.sent += max(n, 0)
	}
	return nil
}

// service receives UDP packets, and may send them back, until stop.
type service struct {
	conn  *net.UDPConn
	echo  bool
	done  sync.WaitGroup
	count int   // owned by the goroutine until done
	err   error // what ended it early; likewise
}

func serve(req request) (*service, error) {
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(req.To))
	if err != nil {
		return nil, err
	}
	s := &service{conn: c, echo: req.Do == doEcho}
	if err := s.enlarge(); err != nil {
		c.Close()
		return nil, err
	}
	s.done.Go(s.run)
	return s, nil
}

// enlarge gives the socket a buffer that the limit for ordinary users does not
// allow, so that the receiver loses nothing.
func (s *service) enlarge() error {
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return err
	}
	ctlErr := raw.Control(func(fd uintptr) {
		err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer))
	})
	return errors.Join(ctlErr, err)
}

// run ends when the socket is closed.
func (s *service) run() {
	c := ipv4.NewPacketConn(s.conn)
	messages := make([]ipv4.Message, burst)
	for i := range messages {
		messages[i].Buffers = [][]byte{make([]byte, datagram)}
	}
	for {
		n, err := c.ReadBatch(messages, 0)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.err = err
			}
			return
		}
		s.count += n
		if s.echo {
			for _, m := range messages[:n] {
				s.conn.WriteTo(m.Buffers[0][:m.N], m.Addr) // lost is lost
			}
		}
	}
}

// stop ends the service and tells what it received.
func (s *service) stop() (reply, error) {
	dropped := socketDrops(s.conn.LocalAddr().(*net.UDPAddr).Port)
	err := s.conn.Close()
	s.done.Wait()
	return reply{Packets: s.count, Dropped: dropped}, errors.Join(err, s.err)
}

// socketDrops returns how many packets the kernel dropped because the buffer
// of the socket at the port was full: the last column of /proc/net/udp.
func socketDrops(port int) int {
	b, err := os.ReadFile("/proc/self/net/udp")
	if err != nil {
		return 0
	}
	suffix := ":" + strings.ToUpper(strconv.FormatInt(0x10000+int64(port), 16)[1:])
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) > 2 && strings.HasSuffix(fields[1], suffix) {
			n, _ := strconv.Atoi(fields[len(fields)-1])
			return n
		}
	}
	return 0
}
