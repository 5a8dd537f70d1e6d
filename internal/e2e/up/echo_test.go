package up_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
)

// each calls f with all connections at once.
func each(t *testing.T, conns []net.Conn, f func(int, net.Conn) error) {
	t.Helper()
	var all sync.WaitGroup
	for i, c := range conns {
		all.Go(func() {
			if err := f(i, c); err != nil {
				t.Errorf("connection %d: %v", i, err)
			}
		})
	}
	if all.Wait(); t.Failed() {
		t.FailNow()
	}
}

// wantEcho sends what no other connection sends, and wants it back.
func wantEcho(i int, c net.Conn) error {
	sent := bytes.Repeat(fmt.Appendf(nil, "%4d,", i), 1000)
	if _, err := c.Write(sent); err != nil {
		return err
	}
	came := make([]byte, len(sent))
	if _, err := io.ReadFull(c, came); err != nil {
		return err
	}
	if !bytes.Equal(came, sent) {
		return fmt.Errorf("%d bytes came back otherwise", len(sent))
	}
	return nil
}

// serveEcho serves until the listener is closed. Whose other end was killed ends
// with it.
func serveEcho(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		go func() { _, _ = io.Copy(c, c) }()
	}
}
