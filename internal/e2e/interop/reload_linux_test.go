package interop_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stream echoes over one TCP connection until stop, which wants all to have come
// back.
func (w way) stream(t *testing.T) (stop func()) {
	t.Helper()
	l := opened(t, w.to, func() (net.Listener, error) { return net.Listen("tcp", w.listen) })
	go func() {
		if c, err := l.Accept(); err == nil {
			io.Copy(c, c)
			c.Close()
		}
	}()
	c := opened(t, w.from, func() (net.Conn, error) { return net.DialTimeout("tcp", w.at, patience) })
	end, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- echoUntil(end, c) }()
	return func() {
		t.Helper()
		close(end)
		if err := <-ended; err != nil {
			t.Errorf("%s, TCP: %v", w.name, err)
		}
		c.Close()
		l.Close()
	}
}

func echoUntil(end <-chan struct{}, c net.Conn) error {
	sent, got := random(16<<10), make([]byte, 16<<10)
	for {
		c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write(sent); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
			return fmt.Errorf("other bytes came back: %v", err)
		}
		select {
		case <-end:
			return nil
		case <-time.After(10 * time.Millisecond): // between two, so that this machine does other things too
		}
	}
}

// A reload in mid-transfer adds an address and an allowed IP and changes the
// MTU; one of a bad file changes nothing.
func TestReload(t *testing.T) {
	modes(t, func(t *testing.T, mode string) {
		l := newLab(t)
		ways, args := l.ways(mode)
		l.startTheirs("")
		p := l.startOurs(mode, theyAreAt, args...)
		l.begin(mode, true)
		stop := ways[0].stream(t)
		l.theirs.run("wg set " + theirDev + " peer " + l.keys[0].Public().String() + " allowed-ips 10.9.0.1/32,fd09::1/128,10.10.0.1/32")
		l.theirs.addrs(theirDev, "10.10.0.2/24")
		l.theirs.reachesNot("10.10.0.1")
		changed := l.conf(0, ourInterface+"\nAddress = 10.10.0.1/24\nMTU = 1300", ourPeer+", 10.10.0.2/32"+theyAreAt)
		p.reload(l, changed, "reload: MTU is 1300")
		l.theirs.reaches("10.10.0.1")
		p.reload(l, changed+"MTU = 1200\n", "reload refused")
		l.theirs.ping("10.10.0.1")
		stop()
	})
}

// reload has the program read a file anew, and waits until it says so.
func (p *program) reload(l *lab, text, said string) {
	p.t.Helper()
	l.file(ourDev+".conf", text)
	if err := p.cmd.Process.Signal(unix.SIGHUP); err != nil {
		p.t.Fatal(err)
	}
	eventually(p.t, said, func() (string, bool) {
		log := p.logged()
		return log, strings.Contains(log, said)
	})
}
